"""The tables of the documents match the specs, the defaults, the playbooks, the Makefile and the modules."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts import readme_tables

ROOT = Path(__file__).resolve().parents[3]
README = "# demo\n\n<!-- BEGIN generated: variables (somehow) -->\nold\n<!-- END generated -->\n\nMore.\n"


def test_every_table_is_up_to_date() -> None:
    assert readme_tables.problems(ROOT) == [], "run scripts/readme_tables.py"


def role(folder: Path, options: dict[str, Any], defaults: dict[str, Any], more: dict[str, Any] | None = None) -> Path:
    """Create a role with these options, and with additional ones for its entry point verify."""
    for name in ("meta", "defaults"):
        (folder / "roles/demo" / name).mkdir(parents=True)
    specs = {"verify": {"options": more or {}}, "main": {"options": options}}
    (folder / "roles/demo/meta/argument_specs.yml").write_text(yaml.safe_dump({"argument_specs": specs}))
    (folder / "roles/demo/defaults/main.yml").write_text(yaml.safe_dump(defaults))
    (folder / "roles/demo/README.md").write_text(README)
    return folder / "roles/demo"


def cells(folder: Path, option: dict[str, Any], value: Any = None) -> list[str]:
    """Return the cells in the row of an option."""
    defaults = {} if value is None else {"demo_value": value}
    made = role(folder, {"demo_value": {"description": "Something.", **option}}, defaults)
    line = readme_tables.variables(made).splitlines()[2]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ({"type": "str", "default": ""}, "", "`''`"),
        ({"type": "str", "default": "7.0"}, "7.0", "`'7.0'`"),
        ({"type": "str", "default": "main"}, "main", "`main`"),
        ({"type": "int", "default": 3}, 3, "`3`"),
        ({"type": "bool", "default": False}, False, "`false`"),
        ({"type": "list", "elements": "str", "default": []}, [], "`[]`"),
        ({"type": "dict", "default": {"a": 1}}, {"a": 1}, "`{a: 1}`"),
        ({"type": "int"}, "{{ 1 + other | int }}", "`{{ 1 + other \\| int }}`"),
        ({"type": "str"}, "{{ one\n   if two }}", "`{{ one if two }}`"),
        ({"type": "str", "required": True}, None, "required"),
        ({"type": "str"}, None, ""),
        ({"type": "dict"}, {"key": "x" * 100}, f"`{{key: {'x' * 74}…` [all](defaults/main.yml)"),
    ],
)
def test_a_default_is_shown_as_it_is_written(tmp_path: Path, option: dict[str, Any], value: Any, shown: str) -> None:
    assert cells(tmp_path, option, value)[2] == shown


def test_a_row_has_the_type_the_choices_and_the_description(tmp_path: Path) -> None:
    option = {
        "type": "list",
        "elements": "str",
        "choices": ["one", "two"],
        "description": ["What O(other) says: V(yes), C(a|b) or B(never).", "See L(there,https://example.com)."],
    }
    assert cells(tmp_path, option) == [
        "`demo_value`",
        "list of str",
        "",
        "What `other` says: `yes`, `a\\|b` or **never**. See [there](https://example.com). One of `one`, `two`.",
    ]


def test_options_in_an_option_stand_below_it_and_those_of_other_entry_points_last(tmp_path: Path) -> None:
    disks = {
        "type": "list",
        "elements": "dict",
        "description": "Disks.",
        "options": {"path": {"type": "path", "required": True, "description": "Where."}},
    }
    quick = {"type": "bool", "default": True, "description": "Whether to hurry."}
    made = role(tmp_path, {"demo_disks": disks}, {"demo_disks": []}, {"demo_disks": disks, "demo_quick": quick})
    assert readme_tables.variables(made).splitlines()[2:] == [
        "| `demo_disks` | list of dict | `[]` | Disks. |",
        "| `demo_disks[].path` | path | required | Where. |",
        "| `demo_quick` | bool | `true` | Whether to hurry. For `tasks_from: verify`. |",
    ]


def test_only_what_stands_between_the_markers_is_written(tmp_path: Path) -> None:
    made = role(tmp_path, {"demo_value": {"type": "int", "description": "A value."}}, {"demo_value": 1})
    text = readme_tables.written(made / "README.md", made)
    assert "old" not in text
    assert "| `demo_value` | int | `1` | A value. |\n<!-- END generated -->\n\nMore.\n" in text
    assert text.startswith("# demo\n\n<!-- BEGIN generated: variables (somehow) -->\n| variable |")
    (made / "README.md").write_text(text)
    assert readme_tables.written(made / "README.md", made) == text


def test_a_document_without_its_table_or_with_an_old_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role(tmp_path, {"demo_value": {"type": "int", "description": "A value."}}, {"demo_value": 1})
    monkeypatch.setattr(readme_tables, "DOCUMENTS", {"README.md": ["modules"]})
    shutil.copytree(ROOT / "plugins/modules", tmp_path / "plugins/modules")
    (tmp_path / "README.md").write_text("# Nothing\n")
    assert readme_tables.problems(tmp_path) == [
        "README.md: add the markers of the table modules",
        "roles/demo/README.md: the tables variables are not up to date",
    ]


def test_a_playbook_is_listed_with_the_comment_at_its_head(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    playbook = tmp_path / "playbooks/demo.yml"
    playbook.write_text("---\n# Do this\n# and that.\n# Usage: -e a=b [-e c=d | -e e=f]\n- hosts: drystone\n")
    (row,) = readme_tables.playbooks(tmp_path).splitlines()[2:]
    assert row == "| `demo.yml` | Do this and that. | `-e a=b [-e c=d \\| -e e=f]` |"
    playbook.write_text("---\n- hosts: drystone\n")
    with pytest.raises(ValueError, match=r"demo\.yml has no comment at its head"):
        readme_tables.playbooks(tmp_path)


def test_targets_are_listed_below_their_headings(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(
        "##@ One\n\n.PHONY: up\nup: x  ## run it\n\tdo $$x\n\n##@ Two\nenv:  ## print: $$(a)\ninternal: up\n"
    )
    shown = readme_tables.make_targets(tmp_path)
    assert "One:\n\n| target | what it does |\n| --- | --- |\n| `make up` | run it |\n\nTwo:\n" in shown
    assert "| `make env` | print: $(a) |" in shown
    assert "internal" not in shown


def test_the_readme_names_every_module() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [path.stem for path in (ROOT / "plugins/modules").glob("*.py") if f"`{path.stem}`" not in readme] == []


def test_every_version_is_listed() -> None:
    page = (ROOT / "docs/versions.md").read_text()
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    assert [name for name in defaults if name.endswith("_version") and f"| `{name}` |" not in page] == []
