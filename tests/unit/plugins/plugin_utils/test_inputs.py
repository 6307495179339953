# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid and invalid variables with the specs of fictitious roles."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.drystone.platform.plugins.plugin_utils._inputs import (
    Catalogue,
    Problem,
    RoleInputs,
    find_problems,
)

OPTIONS: dict[str, Any] = {
    "web_port": {"type": "int"},
    "web_ratio": {"type": "float"},
    "web_version": {"type": "str"},
    "web_wait": {"type": "bool"},
    "web_source": {"type": "str", "choices": ["auto", "upstream"]},
    "web_names": {"type": "list", "elements": "str"},
    "web_password": {"type": "str", "choices": ["long", "longer"]},
    "web_hidden": {"type": "int", "no_log": True},
    "web_nodes": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "labels": {"type": "dict"}, "count": {"type": "int"}},
    },
}
ROLES = {
    "common": RoleInputs(
        {"main": {"options": {"drystone_name": {"type": "str"}}}}, {"drystone_name": "x", "drystone_dir": "/"}
    ),
    "web": RoleInputs(
        {"main": {"options": OPTIONS}, "absent": {"options": {"web_purge": {"type": "bool"}}}}, {"web_port": 1}
    ),
    "web_api": RoleInputs({"main": {"options": {"web_api_key_file": {"type": "path", "required": True}}}}),
}


def problems(given: dict[str, Any], roles: tuple[str, ...] = ("common", "web")) -> list[Problem]:
    return find_problems(Catalogue(ROLES), given, lambda value: value, lambda name: f"{name}.yml:1", roles)


def only(given: dict[str, Any]) -> str:
    found = problems(given)
    assert len(found) == 1, found
    return found[0].line()


@pytest.mark.parametrize(
    "given",
    [
        {"web_port": 80},
        {"web_port": "80"},
        {"web_ratio": 1},
        {"web_version": "1.10"},
        {"web_version": 110},
        {"web_version": "{{ not a template here }}"},
        {"web_wait": "yes"},
        {"web_wait": False},
        {"web_source": "auto"},
        {"web_names": ["a", "b"]},
        {"web_names": None},
        {"web_purge": True},
        {"web_nodes": [{"name": "a", "count": "2"}]},
        {"drystone_dir": ["not in the specs, so not judged"]},
        {"other_thing": 1, "webby": 2, "ansible_web_x": 3, "__web_internal": 4},
    ],
)
def test_what_fits(given: dict[str, Any]) -> None:
    assert problems(given) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"web_port": "abc"}, "web_port: seen str 'abc', expected int (web_port.yml:1)"),
        ({"web_port": True}, "seen bool True, expected int; YAML reads yes, no, on and off as bool"),
        ({"web_port": [80]}, "seen list [80], expected int"),
        ({"web_version": False}, "seen bool False, expected str; YAML reads this value as another type"),
        ({"web_version": {"a": 1}}, "seen dict {'a': 1}, expected str; this is not a text"),
        ({"web_version": 1.1}, "seen float 1.1, expected str; YAML reads"),
        ({"web_wait": "maybe"}, "seen str 'maybe', expected bool"),
        ({"web_source": "online"}, "seen str 'online', expected str, one of auto, upstream"),
        ({"web_names": {"a": 1}}, "seen dict {'a': 1}, expected list of str"),
        ({"web_names": "a,b"}, "seen str 'a,b', expected list of str; write it as a list in YAML or JSON"),
        ({"web_names": 1}, "seen int 1, expected list of str; write it as a list in YAML or JSON"),
        ({"web_nodes": [{"nmae": "a"}]}, "unknown web_nodes.nmae. Supported parameters include: count, labels, name"),
        ({"web_nodes": [{"name": "a", "count": "two"}]}, "found in 'web_nodes'"),
        ({"web_nodes": "a"}, "seen str 'a', expected list of dict"),
        ({"web_prot": 80}, "web_prot: role web does not have this variable; did you mean web_port? (web_prot.yml:1)"),
        (
            {"web_api_keyfile": 80, "web_api_key_file": "x"},
            "role web_api does not have this variable; did you mean web_api_key_file?",
        ),
        ({"drystone_nam": 80}, "drystone_nam: the collection does not have this variable; did you mean drystone_name?"),
        ({"web_zzzzzzzzz": 1}, "roles/web/README.md lists the variables"),
        ({"web_näme": 1}, "web_näme: role web does not have this variable"),
    ],
)
def test_what_does_not_fit(given: dict[str, Any], told: str) -> None:
    assert told in only(given)


def test_all_is_told_at_once_and_in_order() -> None:
    found = problems({"web_wait": "maybe", "drystone_nam": 1, "web_port": "abc"})
    assert [problem.variable for problem in found] == ["drystone_nam", "web_port", "web_wait"]


@pytest.mark.parametrize("name", ["web_password", "web_hidden"])
def test_a_secret_is_never_shown(name: str) -> None:
    line = only({name: "canary-7f3a"})
    assert "canary" not in line
    assert "seen str, expected" in line


def test_a_secret_inside_a_list_is_never_shown() -> None:
    options = {"web_repos": {"type": "list", "elements": "dict", "options": {"password": {"type": "int"}}}}
    catalogue = Catalogue({"web": RoleInputs({"main": {"options": options}})})
    found = find_problems(
        catalogue, {"web_repos": [{"password": "canary-7f3a"}]}, lambda value: value, lambda _: "", []
    )
    assert "canary" not in found[0].line()
    assert "seen list" in found[0].line()


def test_names_and_values_of_ten_kilobytes_are_cut() -> None:
    long = find_problems(Catalogue(ROLES), {"web_" + "x" * 10_000: 1}, lambda value: value, lambda _: "all.yml:1", [])
    assert len(long[0].line()) < 300
    assert len(only({"web_port": "x" * 10_000})) < 300


def test_a_required_variable_is_asked_of_the_roles_that_run() -> None:
    assert problems({}) == []
    found = problems({}, ("web_api",))
    assert [problem.line() for problem in found] == [
        "web_api_key_file: not set, but role web_api requires it (path). Set it in the inventory"
    ]
    assert problems({"web_api_key_file": "/k"}, ("web_api",)) == []


def failing(message: str) -> Any:
    def template(_value: Any) -> Any:
        raise ValueError(message)

    return template


def test_a_template_that_cannot_be_rendered_is_told_but_not_for_a_secret() -> None:
    catalogue = Catalogue(ROLES)
    found = find_problems(catalogue, {"web_port": "{{ x }}"}, failing("'x' is undefined"), lambda _: "", [])
    assert found[0].problem == "its template cannot be rendered: 'x' is undefined"
    found = find_problems(catalogue, {"web_password": "{{ x }}"}, failing("canary"), lambda _: "", [])
    assert found[0].problem == "its template cannot be rendered"


def test_a_template_that_stands_on_facts_is_judged_later() -> None:
    given = {"web_port": "{{ ansible_facts['x'] }}"}
    assert find_problems(Catalogue(ROLES), given, failing("undefined"), lambda _: "", []) == []
