"""The documented options of a module match its argument spec."""

from __future__ import annotations

import importlib
import typing as t
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = "ansible_collections.drystone.platform.plugins"
# Action plugins implement the other modules and validate their options.
MODULES = [path.stem for path in sorted((ROOT / "plugins/modules").glob("*.py")) if "def main(" in path.read_text()]
SAME = {"type": "str", "elements": None, "default": None, "choices": None, "required": False}
Options = dict[str, dict[str, t.Any]]


class Constructed(Exception):
    """Raised instead of running a module, with its argument spec."""


def documented(module: str) -> Options:
    text = yaml.safe_load(importlib.import_module(f"{PLUGINS}.modules.{module}").DOCUMENTATION)
    options: Options = {}
    for fragment in text.get("extends_documentation_fragment", ()):
        name = fragment.rpartition(".")[2]
        found = yaml.safe_load(
            importlib.import_module(f"{PLUGINS}.doc_fragments.{name}").ModuleDocFragment.DOCUMENTATION
        )
        options |= found.get("options", {})
    return {
        name: {**options.get(name, {}), **option} for name, option in ({**options, **text.get("options", {})}).items()
    }


def accepted(module: str, monkeypatch: pytest.MonkeyPatch) -> Options:
    def construct(*, argument_spec: Options, **_others: t.Any) -> t.NoReturn:
        raise Constructed(argument_spec)

    implementation = importlib.import_module(f"{PLUGINS}.modules.{module}")
    monkeypatch.setattr(implementation, "AnsibleModule", construct)
    monkeypatch.setattr("signal.signal", lambda *_arguments: None)
    with pytest.raises(Constructed) as caught:
        implementation.main()
    spec: Options = caught.value.args[0]
    return spec


def comparable(options: Options, deeper: str) -> Options:
    """Reduce options, including nested ones, to the properties that both sides define."""
    return {
        name: {
            **{key: option.get(key, unsaid) for key, unsaid in SAME.items()},
            "options": comparable(option.get(deeper) or {}, deeper),
        }
        for name, option in options.items()
    }


@pytest.mark.parametrize("module", MODULES)
def test_options_types_choices_and_defaults_are_documented_as_they_are(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = comparable(documented(module), "suboptions")
    assert said == comparable(accepted(module, monkeypatch), "options")
