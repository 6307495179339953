# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployed parts, their order, and the connections between them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import (
    KEYS,
    Contract,
    InvalidContract,
    check_keys,
    complete,
)
from ansible_collections.drystone.platform.plugins.plugin_utils._parts import (
    Choice,
    check_names,
    check_requirements,
    connect,
    in_order,
    steps,
    with_requirements,
)


def part(name: str, **keys: t.Any) -> Contract:
    return complete(name, {"title": name.upper(), **keys}, KEYS)


def problems(call: t.Callable[..., object], *arguments: object) -> tuple[str, ...]:
    with pytest.raises(InvalidContract) as caught:
        call(*arguments)
    return caught.value.problems


def test_a_part_is_deployed_where_it_is_listed_not_skipped_and_not_off() -> None:
    choice = Choice(["a", "b", "c"], skip_tags=["b", "other"], off=["c"])
    assert choice.deployed == ["a"]


@pytest.mark.parametrize(
    ("tags", "tagged"), [((), True), (("all",), True), (("a", "x"), True), (("x",), False)], ids=str
)
def test_tags_limit_a_run_to_the_parts_that_they_name(tags: tuple[str, ...], tagged: bool) -> None:
    choice = Choice(["a", "b"], run_tags=tags)
    assert choice.tagged("a") == tagged
    assert choice.deployed == ["a", "b"]  # the contract does not depend on this


def test_an_unknown_part_is_refused_with_the_nearest_name() -> None:
    assert problems(check_names, Choice(["argocdd"]), ["argocd"]) == (
        "part argocdd does not exist; did you mean argocd?",
    )
    assert problems(check_names, Choice(["zzz", "a", "a"]), ["a", "b"]) == (
        "part zzz does not exist; the parts are a, b",
        "a is listed twice",
    )


@pytest.mark.parametrize(
    ("choice", "why"),
    [
        (Choice(["web"]), "which drystone_parts does not list"),
        (Choice(["web", "db"], skip_tags=["db"]), "which --skip-tags excludes"),
        (Choice(["web", "db"], off=["db"]), "which is switched off (see the key enabled in roles/db/meta/part.yml)"),
    ],
    ids=["list", "tag", "contract"],
)
def test_a_part_without_one_that_it_requires_is_refused_with_both_ways_out(choice: Choice, why: str) -> None:
    assert problems(check_requirements, choice, {"web": ["db"]}) == (
        f"web requires db, {why}. Deploy db, or remove web as well",
    )


def test_requirements_of_what_is_left_out_do_not_count() -> None:
    check_requirements(Choice(["web"], skip_tags=["web"]), {"web": ["db"]})


def test_the_order_is_that_of_the_list_but_for_what_must_come_later() -> None:
    assert in_order(["a", "b", "c", "d"], {"a": ["c"], "d": ["absent"]}) == ["b", "c", "a", "d"]


def test_parts_that_wait_for_each_other_are_refused() -> None:
    (problem,) = problems(in_order, ["a", "b", "c"], {"a": ["b"], "b": ["a"]})
    assert problem.startswith("The parts a, b depend on each other")


def test_requirements_are_followed_to_the_end() -> None:
    assert with_requirements(["a"], {"a": ["b"], "b": ["c"], "d": ["e"]}) == {"a", "b", "c"}


def plan(*parts: Contract) -> list[str]:
    return [f"{step['part']} {step['entry_point']}" for step in steps(parts)]


def test_what_another_part_awaits_is_waited_for_as_late_as_possible_and_once() -> None:
    parts = [
        part("git", entry_points={"ready": "seed"}),
        part("argo"),
        part("keys", awaits=["git"], entry_points={"finish": "prune"}),
        part("apps", awaits=["git", "absent"]),
        part("web"),
    ]
    assert plan(*parts) == [
        *("git apply", "argo apply", "git wait", "git seed", "keys apply", "apps apply", "web apply", "keys prune"),
    ]


def test_without_anybody_who_awaits_it_a_part_gets_ready_at_the_end() -> None:
    assert plan(part("git", entry_points={"ready": "seed"}), part("web")) == [
        *("git apply", "web apply", "git wait", "git seed"),
    ]


def test_a_condition_gets_the_timeout_of_its_part() -> None:
    made = part("web", timeout="60", conditions=[{"http": {"url": "/"}}, {"crds": {"names": ["a"]}, "timeout": 5}])
    assert [one["timeout"] for one in made["conditions"]] == [60, 5]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (["title"], "expected a mapping"),
        ({"title": "Web", "require": []}, "unknown keys require"),
    ],
    ids=["list", "key"],
)
def test_a_contract_of_another_shape_is_refused(raw: object, message: str) -> None:
    (problem,) = problems(check_keys, "web", raw)
    assert problem.startswith("roles/web/meta/part.yml")
    assert message in problem


@pytest.mark.parametrize(
    "keys",
    [{"stage": "later"}, {"timeout": "soon"}, {"namespaces": [{"name": "web", "open": True}]}, {"connects": ["dns"]}],
    ids=str,
)
def test_a_value_that_the_schema_does_not_know_is_refused(keys: dict[str, t.Any]) -> None:
    (problem,) = problems(complete, "web", {"title": "Web", **keys}, KEYS)
    assert problem.startswith("roles/web/meta/part.yml: ")


def network(*parts: Contract) -> dict[str, Contract]:
    connect(parts)
    return {one["name"]: one for one in parts}


def test_a_connection_is_told_to_its_target_with_the_ports_of_the_services_it_names() -> None:
    found = network(
        part("web", namespaces=[{"name": "web-ns"}], connects=[{"to": "db", "services": ["sql"]}, {"to": "dns"}]),
        part(
            "db",
            namespaces=[{"name": "db-ns"}],
            services=[{"name": "sql", "port": 80, "target_port": 5432}, {"name": "admin", "port": 81}],
        ),
    )
    (client,) = found["db"]["clients"]
    assert (client["part"], client["namespaces"], client["ports"]) == ("web", ["web-ns"], [5432])
    to_db, to_dns = found["web"]["connects"]
    assert (to_db["namespaces"], to_db["ports"], to_dns["to"]) == (["db-ns"], [5432], "dns")
    assert [one["clients"] for one in found["db"]["services"]] == [["web"], []]
    assert [one["namespace"] for one in found["db"]["services"]] == ["db-ns", "db-ns"]


def test_a_target_that_is_not_deployed_drops_out() -> None:
    assert network(part("web", connects=[{"to": "db"}]))["web"]["connects"] == []


def test_metrics_are_every_part_that_has_some() -> None:
    found = network(
        part("prometheus", namespaces=[{"name": "m"}], connects=[{"to": "metrics"}], metrics=True),
        part("web", namespaces=[{"name": "w"}], metrics=True),
        part("quiet", namespaces=[{"name": "q"}]),
    )
    assert [one["to"] for one in found["prometheus"]["connects"]] == ["web"]
    assert [one["metrics"] for one in found["web"]["clients"]] == [True]
    assert found["quiet"]["clients"] == []


def test_of_a_part_with_policies_of_its_own_only_what_is_named_may_be_reached() -> None:
    found = network(
        part("prometheus", connects=[{"to": "metrics"}]),
        part("proxy", connects=[{"to": "argo", "services": ["ui"]}]),
        part("nosy", connects=[{"to": "argo"}]),
        part(
            "argo",
            metrics=True,
            namespaces=[{"name": "a", "own_policies": True, "itself": False}],
            services=[
                {"name": "ui", "port": 80},
                {"name": "metrics", "port": 81, "metrics": True},
                {"name": "redis", "port": 82},
            ],
        ),
    )
    assert {one["name"]: one["clients"] for one in found["argo"]["services"]} == {
        "ui": ["proxy"],
        "metrics": ["prometheus"],
        "redis": [],
    }


def test_a_service_that_is_none_is_refused() -> None:
    parts = [part("web", connects=[{"to": "db", "services": ["sq"]}]), part("db", services=[])]
    (problem,) = problems(connect, parts)
    assert "connects to the unknown service sq of db" in problem
