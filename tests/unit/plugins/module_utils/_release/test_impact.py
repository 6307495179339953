# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every change of a rendered object has the classes of impact that an operator expects."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._release.impact import changed_fields, compare
from tests.unit.plugins.module_utils._release.conftest import deployment


def impacts(before: dict[str, t.Any], after: dict[str, t.Any]) -> tuple[str, ...]:
    (change,) = compare([before], [after])
    assert change.action == "changed"
    return change.impacts


def an_object(kind: str, name: str = "greeter", api_version: str = "v1", **content: t.Any) -> dict[str, t.Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": "staging"}, **content}


def test_equal_objects_have_no_changes() -> None:
    assert compare([deployment()], [deployment()]) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param(deployment("greeter:1.1.0"), ("image",), id="image"),
        pytest.param(
            deployment(pod={"initContainers": [{"name": "wait", "image": "greeter:1.1.0"}]}),
            ("image", "configuration"),
            id="new init container",
        ),
        pytest.param(deployment(replicas=3), ("size",), id="replicas"),
        pytest.param(deployment(container={"resources": {"limits": {"cpu": "1"}}}), ("size",), id="resources"),
        pytest.param(deployment(container={"env": [{"name": "A", "value": "1"}]}), ("configuration",), id="variable"),
        pytest.param(deployment(container={"ports": [{"name": "http", "containerPort": 80}]}), ("network",), id="port"),
        pytest.param(deployment(pod={"hostNetwork": True}), ("network",), id="host network"),
        pytest.param(deployment(pod={"serviceAccountName": "admin"}), ("rights",), id="identity"),
        pytest.param(
            deployment(container={"securityContext": {"privileged": True}}), ("rights",), id="security context"
        ),
        pytest.param(
            deployment(pod={"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}),
            ("configuration", "storage"),
            id="first volume",
        ),
        pytest.param(deployment(selector={"matchLabels": {"app": "other"}}), ("removal",), id="immutable selector"),
        pytest.param(
            deployment("greeter:1.1.0", replicas=2, strategy={"type": "Recreate"}),
            ("image", "configuration", "size"),
            id="several",
        ),
    ],
)
def test_a_changed_workload(after: dict[str, t.Any], expected: tuple[str, ...]) -> None:
    assert impacts(deployment(), after) == expected


def test_a_claim_of_another_volume_is_storage() -> None:
    before, after = (
        deployment(pod={"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}]})
        for name in ("old", "new")
    )
    assert impacts(before, after) == ("storage",)


def test_the_template_of_a_claim_is_storage() -> None:
    before, after = (
        an_object(
            "StatefulSet",
            api_version="apps/v1",
            spec={
                "volumeClaimTemplates": [
                    {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": size}}}}
                ]
            },
        )
        for size in ("1Gi", "2Gi")
    )
    assert impacts(before, after) == ("storage",)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ConfigMap", "configuration"),
        ("HorizontalPodAutoscaler", "size"),
        ("Service", "network"),
        ("NetworkPolicy", "network"),
        ("Role", "rights"),
        ("PersistentVolumeClaim", "storage"),
        ("Unknown", "configuration"),
    ],
)
def test_other_kinds(kind: str, expected: str) -> None:
    assert impacts(an_object(kind, spec={"a": 1}), an_object(kind, spec={"a": 2})) == (expected,)
    (added,) = compare([], [an_object(kind)])
    assert (added.action, added.impacts) == ("added", (expected,))
    (removed,) = compare([an_object(kind)], [])
    assert (removed.action, removed.impacts) == ("removed", ("removal",))


def test_a_generated_configmap_with_another_hash_is_no_removal() -> None:
    before, after = (
        [
            an_object("ConfigMap", f"greeter-config-{suffix}", data={"A": suffix}),
            deployment(container={"envFrom": [{"configMapRef": {"name": f"greeter-config-{suffix}"}}]}),
        ]
        for suffix in ("4bkh6fk2tk", "mt7g5kd2h2")
    )
    assert {(change.action, change.impacts) for change in compare(before, after)} == {("changed", ("configuration",))}


def test_a_volume_that_disappears_is_storage() -> None:
    before = deployment(pod={"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]})
    assert "storage" in impacts(before, deployment())


def test_configmaps_with_similar_names_are_different_objects() -> None:
    before = [an_object("ConfigMap", name) for name in ("app-production", "app-monitoring")]
    (change,) = compare(before, before[1:])
    assert (change.action, change.name) == ("removed", "app-production")


def test_the_selector_of_a_monitor_can_change() -> None:
    before, after = (an_object("ServiceMonitor", spec={"selector": {"a": value}}) for value in "xy")
    assert impacts(before, after) == ("configuration",)


def test_the_value_of_a_secret_is_not_shown() -> None:
    before, after = (an_object("Secret", stringData={"password": text}) for text in ("hunter2-old", "hunter2-new"))
    (change,) = compare([before], [after])
    assert "hunter2" not in str(change.diff)


def test_fields_are_named_by_their_path() -> None:
    before = {"a": {"b": 1}, "list": [{"name": "x", "v": 1}, {"name": "y", "v": 1}], "plain": [1]}
    after = {"a": {"b": 2}, "list": [{"name": "y", "v": 2}, {"name": "x", "v": 1}], "plain": [2]}
    assert changed_fields(before, after) == ["/a/b", "/list/y/v", "/plain"]
