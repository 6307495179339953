"""Rules for all roles: a correct interface, the same structure, and a scenario."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
OTHERS = [role for role in ROLES if role != "common"]
NO_SCENARIO = {"common": "it holds variables and does nothing: every other role's scenario reads them"}

OF_OTHER_TYPES = ("bool", "dict", "float", "int", "list")
JINJA = re.compile(r"{{|{%")
TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (float, int),
    "int": (int,),
    "list": (list,),
    "path": (str,),
    "raw": (object,),
    "str": (str,),
}


def load(role: str, path: str) -> dict[str, Any]:
    found = ROOT / "roles" / role / path
    loaded: dict[str, Any] = (yaml.safe_load(found.read_text()) or {}) if found.exists() else {}
    return loaded


def entry_points(role: str) -> dict[str, dict[str, Any]]:
    points: dict[str, dict[str, Any]] = load(role, "meta/argument_specs.yml").get("argument_specs", {})
    return points


def fits(value: Any, kind: str) -> bool:
    if isinstance(value, str) and JINJA.search(value):
        return True
    if isinstance(value, bool):
        return kind in ("bool", "raw")
    return isinstance(value, TYPES[kind])


@pytest.mark.parametrize("role", ROLES)
def test_the_specs_name_exactly_the_variables_of_the_defaults(role: str) -> None:
    points = entry_points(role)
    assert "main" in points, f"roles/{role}/meta/argument_specs.yml has no entry point main"
    specified = {name: option for point in points.values() for name, option in point.get("options", {}).items()}
    required = {name for name, option in specified.items() if option.get("required")}
    assert set(specified) - required == set(load(role, "defaults/main.yml"))


@pytest.mark.parametrize("role", ROLES)
def test_the_specs_give_the_values_of_the_defaults(role: str) -> None:
    defaults = load(role, "defaults/main.yml")
    for entry_point, spec in entry_points(role).items():
        for name, option in spec.get("options", {}).items():
            where = f"{role}, entry point {entry_point}, {name}"
            assert option.get("description"), f"{where} has no description"
            if option.get("required"):
                assert "default" not in option, f"{where} is required and has a default"
                continue
            value = defaults.get(name)
            if isinstance(value, str) and JINJA.search(value) and option.get("type", "str") in OF_OTHER_TYPES:
                # Documentation tools require a default of the option's type, so the description states the origin.
                assert "default" not in option, f"{where}: the default is computed: describe it, leave it out"
                sources = re.findall(r"\bdrystone_\w+", value)
                unsaid = [source for source in sources if source not in str(option["description"])]
                assert unsaid == [], f"{where}: the description does not say that the default comes from {unsaid}"
                continue
            assert option.get("default") == value, f"{where}: the default differs from defaults/main.yml"


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_are_of_the_specified_types(role: str) -> None:
    defaults = load(role, "defaults/main.yml")
    for spec in entry_points(role).values():
        for name, option in spec.get("options", {}).items():
            kind = option.get("type", "str")
            value = defaults.get(name)
            if value is not None:
                assert fits(value, kind), f"{name}: {value!r} in defaults/main.yml is no {kind}"
            if kind == "list":
                assert "elements" in option, f"{name} is a list of what? elements is missing"


@pytest.mark.parametrize("role", ROLES)
def test_each_entry_point_is_described_and_there(role: str) -> None:
    for entry_point, spec in entry_points(role).items():
        assert spec.get("short_description"), f"{role}, {entry_point}: no short_description"
        assert spec.get("description"), f"{role}, {entry_point}: no description"
        if role != "common":
            assert (ROOT / "roles" / role / "tasks" / f"{entry_point}.yml").exists()


@pytest.mark.parametrize("role", ROLES)
def test_public_variables_carry_the_role_s_prefix_and_internal_ones_two_underscores(role: str) -> None:
    prefix = "drystone_" if role == "common" else f"{role}_"
    assert [name for name in load(role, "defaults/main.yml") if not name.startswith(prefix)] == []
    assert [name for name in load(role, "vars/main.yml") if not name.startswith(f"__{role}_")] == []


@pytest.mark.parametrize("role", OTHERS)
def test_shared_variables_are_read_in_the_defaults_only(role: str) -> None:
    read = re.compile(r"{{[^}]*\bdrystone_[a-z_]+|^\s*(?:when|loop|that|until|changed_when):.*\bdrystone_[a-z_]+")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for folder in ("tasks", "handlers", "templates")
        for path in sorted((ROOT / "roles" / role / folder).rglob("*"))
        if path.is_file()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if read.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("role", OTHERS)
def test_it_depends_on_common(role: str) -> None:
    dependencies = [entry["role"] for entry in load(role, "meta/main.yml").get("dependencies", [])]
    assert "drystone.platform.common" in dependencies


@pytest.mark.parametrize("role", OTHERS)
def test_its_main_task_file_is_a_table_of_contents(role: str) -> None:
    entries = yaml.safe_load((ROOT / "roles" / role / "tasks/main.yml").read_text())
    # A block is not a separate step. It defines common properties of its tasks.
    tasks = [task for entry in entries for task in entry.get("block", [entry])]
    calls = {f"ansible.builtin.{verb}_{what}" for verb in ("import", "include") for what in ("tasks", "role")}
    assert [task.get("name") for task in tasks if not calls & set(task)] == []


@pytest.mark.parametrize("role", ROLES)
def test_task_files_are_short(role: str) -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in (ROOT / "roles" / role / "tasks").rglob("*.yml")
    }
    assert {path: lines for path, lines in lengths.items() if lines > 100} == {}


@pytest.mark.parametrize("role", ROLES)
def test_it_has_a_scenario_with_tests(role: str) -> None:
    scenario = ROOT / "molecule" / role
    if role in NO_SCENARIO:
        assert not scenario.exists(), f"{role} is exempt because {NO_SCENARIO[role]}, yet it has a scenario"
        return
    assert (scenario / "molecule.yml").exists()
    tests = (scenario / "tests" / f"test_{role}.py").read_text()
    assert re.search(r"^def test_.*?\bassert\b", tests, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("role", ROLES)
def test_it_has_a_readme(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text()
    missing = [name for name in load(role, "defaults/main.yml") if f"`{name}`" not in readme]
    assert missing == [], f"roles/{role}/README.md does not name {missing}"
    assert len(readme.splitlines()) <= 200
