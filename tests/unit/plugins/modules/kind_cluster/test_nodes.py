# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patches of a node, computed from its live state, the recorded state and the description."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._kind.node_labels import (
    OWNED_LABELS,
    OWNED_TAINTS,
    managed,
    patch_for,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import Node, Taint

THEIRS = {"key": "theirs", "value": "x", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}
OURS = {"key": "ours", "value": "x", "effect": "NoSchedule"}
TAINT = Taint("ours", "NoSchedule", "x")


def found(
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    owned_labels: str | None = None,
    owned_taints: str | None = None,
) -> dict[str, t.Any]:
    annotations = {OWNED_LABELS: owned_labels, OWNED_TAINTS: owned_taints}
    return {
        "metadata": {
            "name": "n",
            "resourceVersion": "7",
            "labels": labels or {},
            "annotations": {key: value for key, value in annotations.items() if value is not None},
        },
        "spec": {"taints": taints} if taints else {},
    }


@pytest.mark.parametrize(
    ("described", "has", "remembered", "patch"),
    [
        ({"a": "1"}, {}, None, {"a": "1"}),
        ({"a": "1"}, {"a": "1"}, '["a"]', None),
        ({"a": "2"}, {"a": "1"}, '["a"]', {"a": "2"}),
        ({"a": "2"}, {"a": "1"}, None, {"a": "2"}),
        ({}, {"a": "1"}, '["a"]', {"a": None}),
        ({}, {"a": "1"}, None, None),
        ({}, {"a": "1", "theirs": "1"}, '["a"]', {"a": None}),
        ({"b": "1"}, {"a": "1"}, '["a"]', {"a": None, "b": "1"}),
        ({}, {}, '["gone already"]', None),
        ({}, {"a": "1"}, "not json", None),
        ({}, {"a": "1"}, '{"a": 1}', None),
        ({}, {"a": "1"}, '[["a"]]', None),
        ({"a": ""}, {}, None, {"a": ""}),
    ],
)
def test_labels(
    described: dict[str, str], has: dict[str, str], remembered: str | None, patch: dict[str, str | None] | None
) -> None:
    made = patch_for(Node("n", "worker", described), found(has, owned_labels=remembered))

    assert (made.body["metadata"].get("labels") if made else None) == patch


@pytest.mark.parametrize(
    ("described", "has", "remembered", "result"),
    [
        ((), [THEIRS], None, None),
        ((TAINT,), [THEIRS], None, [THEIRS, OURS]),
        ((TAINT,), [OURS, THEIRS], '["ours:NoSchedule"]', None),
        ((Taint("ours", "NoSchedule", "y"),), [OURS, THEIRS], '["ours:NoSchedule"]', [{**OURS, "value": "y"}, THEIRS]),
        ((), [OURS, THEIRS], '["ours:NoSchedule"]', [THEIRS]),
        ((), [OURS], '["ours:NoExecute"]', None),
        ((Taint("ours", "NoExecute"),), [OURS], '["ours:NoSchedule"]', [{"key": "ours", "effect": "NoExecute"}]),
        ((), [OURS], "nonsense", None),
    ],
)
def test_taints(
    described: tuple[Taint, ...],
    has: list[dict[str, str]],
    remembered: str | None,
    result: list[dict[str, str]] | None,
) -> None:
    made = patch_for(Node("n", "worker", taints=described), found(taints=has, owned_taints=remembered))

    assert (made.body.get("spec", {}).get("taints") if made else None) == result


def test_patch_remembers_what_is_ours_and_fails_if_somebody_was_faster() -> None:
    made = patch_for(Node("n", "worker", {"b": "1", "a": "1"}, (TAINT,)), found())

    assert made
    assert made.body["metadata"]["resourceVersion"] == "7"
    assert made.body["metadata"]["annotations"] == {OWNED_LABELS: '["a","b"]', OWNED_TAINTS: '["ours:NoSchedule"]'}
    assert made.summary() == "label +a=1, label +b=1, taint +ours=x:NoSchedule"


def test_memory_goes_with_the_last_label() -> None:
    made = patch_for(Node("n", "worker"), found({"a": "1"}, owned_labels='["a"]'))

    assert made
    assert made.body["metadata"]["annotations"] == {OWNED_LABELS: None}


def test_lost_memory_alone_is_put_right() -> None:
    made = patch_for(Node("n", "worker", {"a": "1"}), found({"a": "1"}))

    assert made
    assert made.only_annotations
    assert made.summary() == "record the labels and taints of Drystone"


def test_patched_node_needs_nothing_more() -> None:
    node = Node("n", "worker", {"a": "1"}, (TAINT,))
    state = found({"theirs": "1"}, [THEIRS])
    made = patch_for(node, state)
    assert made
    state["metadata"]["labels"] |= made.body["metadata"]["labels"]
    state["metadata"]["annotations"] |= made.body["metadata"]["annotations"]
    state["spec"] = made.body["spec"]

    assert patch_for(node, state) is None


def test_managed_shows_ours_only() -> None:
    state = found({"a": "1", "old": "1", "theirs": "1"}, [THEIRS, OURS], owned_labels=json.dumps(["old"]))

    assert managed(Node("n", "worker", {"a": "2"}, (TAINT,)), state) == {
        "labels": {"a": "1", "old": "1"},
        "taints": ["ours=x:NoSchedule"],
    }
