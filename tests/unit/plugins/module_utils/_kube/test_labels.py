# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Label selectors in the syntax of kubectl and of objects."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import (
    Requirement,
    parse_selector,
    selector_of,
)


def labelled(**labels: str) -> dict[str, t.Any]:
    return {"metadata": {"labels": labels}}


WEB = labelled(app="web", tier="front")


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("  ", True),
        ("app=web", True),
        ("app==web", True),
        (" app = web ", True),
        ("app=api", False),
        ("zone=", False),
        ("app!=api", True),
        ("app!=web", False),
        ("zone!=a", True),
        ("app in (api, web)", True),
        ("app in (api)", False),
        ("zone in (a)", False),
        ("app notin (api)", True),
        ("app notin (api,web)", False),
        ("zone notin (a)", True),
        ("app", True),
        ("zone", False),
        ("!zone", True),
        ("! app", False),
        ("app=web,tier in (front,back),!zone", True),
        ("app=web,tier in (front,back),zone", False),
    ],
)
def test_a_selector_is_judged_as_kubernetes_does(selector: str, matches: bool) -> None:
    assert parse_selector(selector).matches(WEB) is matches


def test_keys_may_have_a_prefix_and_values_may_be_empty() -> None:
    obj = {"metadata": {"labels": {"node-role.kubernetes.io/worker": "", "drystone.dev/pool": "apps"}}}
    assert parse_selector("node-role.kubernetes.io/worker=,drystone.dev/pool in (apps)").matches(obj)
    assert not parse_selector("node-role.kubernetes.io/worker!=").matches(obj)


@pytest.mark.parametrize("obj", [{}, {"metadata": {}}, {"metadata": {"labels": None}}])
def test_an_object_need_not_have_labels(obj: dict[str, t.Any]) -> None:
    assert parse_selector("!app").matches(obj)
    assert not parse_selector("app").matches(obj)


@pytest.mark.parametrize(
    ("selector", "at"),
    [
        ("app=web,", "''"),
        ("app web", "'app web'"),
        ("app in web", "'app in web'"),
        ("tier=a,app in (web", "'app in (web'"),
        ("=web", "'=web'"),
        ("app=we b", "'app=we b'"),
        ("app>1", "'app>1'"),
    ],
)
def test_a_wrong_selector_is_told_with_the_place_and_what_it_takes(selector: str, at: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_selector(selector)
    assert caught.value.msg.startswith(f"The selector {selector!r} is invalid at {at}. Use requirements such as")
    assert caught.value.facts == {"selector": selector}


def test_an_object_s_selector_joins_labels_and_expressions() -> None:
    selector = selector_of(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "zone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector.requirements == (
        Requirement("app", "In", ("web",)),
        Requirement("tier", "NotIn", ("back",)),
        Requirement("zone", "DoesNotExist"),
    )
    assert selector.matches(WEB)
    assert not selector.matches(labelled(app="web", tier="back"))
    assert not selector.matches(labelled(app="web", zone="a"))


@pytest.mark.parametrize("spec", [None, {}, {"matchLabels": None, "matchExpressions": None}])
def test_an_object_s_empty_selector_matches_everything(spec: dict[str, t.Any] | None) -> None:
    assert selector_of(spec).matches(WEB)
    assert selector_of(spec).matches({})
