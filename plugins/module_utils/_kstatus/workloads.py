# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status rules of the kinds that run pods. PRIVATE to the collection.

rules.py has already checked that the status belongs to the current generation.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import (
    Status,
    conditions_of,
    describe_condition,
    not_ready,
    ready,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object


def deployment_status(obj: Object) -> Status:
    """Return ready if all replicas have the newest template and are available, and no older replica is left."""
    spec, status = _parts(obj)
    desired = _desired(spec)
    updated, total = _count(status, "updatedReplicas"), _count(status, "replicas")
    conditions = conditions_of(obj)
    trouble = []
    if conditions.get("ReplicaFailure", {}).get("status") == "True":
        trouble.append(describe_condition(conditions["ReplicaFailure"]))
    if conditions.get("Progressing", {}).get("status") == "False":
        trouble.append(describe_condition(conditions["Progressing"]))
    if spec.get("paused") and updated < desired:
        trouble.append("its rollout is paused")
    if updated < desired:
        return _lacking(f"{updated} of {desired} replicas updated", trouble)
    if total > updated:
        return _lacking(f"{total - updated} replicas with an older template still run", trouble)
    return _replicas(status, desired, trouble)


def stateful_set_status(obj: Object) -> Status:
    """Return ready if all replicas are ready and, with the strategy RollingUpdate, have the newest revision."""
    spec, status = _parts(obj)
    desired = _desired(spec)
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type", "RollingUpdate") == "RollingUpdate":
        partition = (strategy.get("rollingUpdate") or {}).get("partition") or 0
        updated, wanted = _count(status, "updatedReplicas"), max(desired - partition, 0)
        if updated < wanted:
            return not_ready(f"{updated} of {wanted} replicas updated")
        current, update = status.get("currentRevision"), status.get("updateRevision")
        if not partition and desired and current != update:
            return not_ready(f"revision {update} has not replaced {current} yet")
    if _count(status, "replicas") > desired:
        return not_ready(f"{_count(status, 'replicas') - desired} surplus replicas still run")
    return _replicas(status, desired, [])


def daemon_set_status(obj: Object) -> Status:
    """Return ready if each selected node has one updated, available pod, and at least one node is selected."""
    spec, status = _parts(obj)
    desired = _count(status, "desiredNumberScheduled")
    if desired == 0:
        return not_ready("no node matches its node selector and tolerations")
    rolling = (spec.get("updateStrategy") or {}).get("type", "RollingUpdate") == "RollingUpdate"
    counters = [("numberReady", "ready"), ("numberAvailable", "available")]
    for field, word in [("updatedNumberScheduled", "updated")] * rolling + counters:
        if _count(status, field) < desired:
            return not_ready(f"{_count(status, field)} of {desired} pods {word}")
    return ready(f"{desired} of {desired} pods available")


def replica_set_status(obj: Object) -> Status:
    """Return ready if exactly the desired number of replicas exists and is available."""
    spec, status = _parts(obj)
    desired, total = _desired(spec), _count(status, "replicas")
    failure = conditions_of(obj).get("ReplicaFailure", {})
    trouble = [describe_condition(failure)] if failure.get("status") == "True" else []
    if total > desired:
        return _lacking(f"{total - desired} surplus replicas still run", trouble)
    return _replicas(status, desired, trouble)


def job_status(obj: Object) -> Status:
    """Return ready if the Job is complete. A failed Job stays failed, so it is terminal."""
    spec, status = _parts(obj)
    conditions = conditions_of(obj)
    if conditions.get("Complete", {}).get("status") == "True":
        return ready("complete")
    for kind in ("Failed", "FailureTarget"):
        if conditions.get(kind, {}).get("status") == "True":
            return not_ready(describe_condition(conditions[kind]), terminal=True)
    if spec.get("suspend"):
        return not_ready("is suspended")
    completions = spec.get("completions") or 1
    text = f"{_count(status, 'succeeded')} of {completions} completions, {_count(status, 'active')} pods active"
    if _count(status, "failed"):
        text += f", {status['failed']} failed (limit {spec.get('backoffLimit', 6)})"
    return not_ready(text)


def _parts(obj: Object) -> tuple[Mapping[str, t.Any], Mapping[str, t.Any]]:
    return obj.get("spec") or {}, obj.get("status") or {}


def _desired(spec: Mapping[str, t.Any]) -> int:
    replicas = spec.get("replicas")
    return 1 if replicas is None else int(replicas)


def _count(status: Mapping[str, t.Any], field: str) -> int:
    return int(status.get(field) or 0)


def _replicas(status: Mapping[str, t.Any], desired: int, trouble: list[str]) -> Status:
    for field, word in (("replicas", "created"), ("readyReplicas", "ready"), ("availableReplicas", "available")):
        if _count(status, field) < desired:
            return _lacking(f"{_count(status, field)} of {desired} replicas {word}", trouble)
    if desired == 0 and _count(status, "replicas"):
        return _lacking(f"{status['replicas']} replicas still run, but 0 are desired", trouble)
    return ready(f"{desired} of {desired} replicas available" if desired else "scaled to zero")


def _lacking(text: str, trouble: list[str]) -> Status:
    return not_ready("; ".join([text, *trouble]))
