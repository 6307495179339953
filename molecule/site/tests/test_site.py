"""An unchanged second run writes no object of the project in the cluster."""

from __future__ import annotations

import json
from typing import Any

from drystone_testing import Kubectl, Playbook

MANAGER = "drystone"
# Controllers write these objects all the time; the project does not.
NOISE = {"events", "leases.coordination.k8s.io", "endpoints", "endpointslices.discovery.k8s.io"}


def written(kubectl: Kubectl) -> dict[str, Any]:
    """Return the time of the project's last write to each object, and the fields that the project owns."""
    listed = set(kubectl("api-resources", "--verbs=list,patch", "--output=name").split())
    kinds = ",".join(sorted(name for name in listed if name not in NOISE and not name.startswith("events.")))
    objects = kubectl.items(kinds, "--all-namespaces", "--show-managed-fields")
    return {
        "/".join((one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])): [
            entry for entry in one["metadata"].get("managedFields", []) if entry["manager"] == MANAGER
        ]
        for one in objects
        if any(entry["manager"] == MANAGER for entry in one["metadata"].get("managedFields", []))
    }


def test_a_second_run_writes_nothing(kubectl: Kubectl) -> None:
    before = written(kubectl)
    assert before, "no object of ours is in the cluster"
    done = Playbook("site.yml", {})
    assert done.code == 0, done.output
    assert "changed=0" in done.output, done.output
    after = written(kubectl)
    assert [name for name in before | after if before.get(name) != after.get(name)] == []


def test_check_mode_finds_nothing_to_do_and_does_nothing(kubectl: Kubectl) -> None:
    before = written(kubectl)
    done = Playbook("site.yml", {}, "--check", "--diff")
    assert done.code == 0, done.output
    assert "changed=0" in done.output, done.output
    assert json.dumps(written(kubectl), sort_keys=True) == json.dumps(before, sort_keys=True)
