"""The collection as a whole: one name, valid links, and documentation and tests of its contents."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
LINKS = {"galaxy.yml", "meta", "playbooks", "plugins", "roles"}
# Names that look like a role, a playbook or a plugin, but are none.
OTHER_NAMES = {"platform"}


def test_the_links_lie_where_the_collection_s_name_says(galaxy: dict[str, Any]) -> None:
    folder = ROOT / "collections/ansible_collections" / galaxy["namespace"] / galaxy["name"]
    assert {path.name for path in folder.iterdir()} == LINKS
    for link in folder.iterdir():
        assert link.is_symlink()
        assert not link.readlink().is_absolute()
        assert link.resolve() == ROOT / link.name


def test_every_full_name_is_of_this_collection_and_exists(galaxy: dict[str, Any], files: list[Path]) -> None:
    full = f"{galaxy['namespace']}.{galaxy['name']}"
    known = OTHER_NAMES | {path.name for path in (ROOT / "roles").iterdir()}
    known |= {path.stem for path in (ROOT / "playbooks").rglob("*.yml")} | {"plugins"}
    known |= {path.stem for path in (ROOT / "plugins").rglob("*.py")}
    # The collection is followed by one name. This also finds references to other collections of the namespace.
    name = re.compile(rf"\b{galaxy['namespace']}\.([a-z_]+)\.([a-z_]+)(?![\w/])")
    wrong = []
    for path in files:
        if path.suffix in (".py", ".yml", ".yaml", ".j2") and path.parts[0] in (
            "playbooks",
            "roles",
            "plugins",
            "molecule",
        ):
            for number, line in enumerate((ROOT / path).read_text().splitlines(), 1):
                for collection, thing in name.findall(line):
                    if f"{galaxy['namespace']}.{collection}" != full or thing not in known:
                        wrong.append(f"{path}:{number}: {galaxy['namespace']}.{collection}.{thing}")
    assert wrong == []


def unit_tests_of(module: str) -> list[Path]:
    folder = ROOT / "tests/unit/plugins/modules"
    found = [*folder.glob(f"test_{module}.py"), *folder.glob(f"{module}/test_*.py")]
    return [path for path in found if "def test_" in path.read_text()]


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_unit_tests(module: str) -> None:
    assert unit_tests_of(module), f"no tests/unit/plugins/modules/test_{module}.py"


@pytest.mark.parametrize("module", MODULES)
def test_modules_are_thin(module: str) -> None:
    tree = ast.parse((ROOT / "plugins/modules" / f"{module}.py").read_text())
    documented = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    last = max((node.end_lineno or 0 for node in documented), default=0)
    assert max(node.end_lineno or 0 for node in tree.body) - last <= 100


def test_plugins_say_whose_they_are_and_under_which_licence() -> None:
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        text = path.read_text()
        if text:
            head = "\n".join(text.splitlines()[:20])
            assert "# Copyright (c) The Drystone authors" in head, path
            assert "GNU General Public License v3.0+" in head, path
            assert "# SPDX-License-Identifier: GPL-3.0-or-later" in head, path


def test_the_readme_can_be_read_in_one_go() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_what_the_collection_ships_exists(galaxy: dict[str, Any]) -> None:
    directives = galaxy["manifest"]["directives"]
    named = [name for line in directives if line.startswith("include ") for name in line.split()[1:]]
    named += [line.split()[1] for line in directives if line.startswith("recursive-include ")]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_no_file_links_to_an_account_that_is_not_ours(files: list[Path]) -> None:
    account = re.compile(r"\b(?:github|gitlab)\.com/drystone\b")
    texts = {path: (ROOT / path).read_bytes().decode(errors="replace") for path in files if (ROOT / path).is_file()}
    assert [str(path) for path, text in texts.items() if account.search(text)] == []
