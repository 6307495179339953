# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Status rules of Argo CD Applications and Argo Rollouts. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import Status, not_ready, ready
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

_SOURCE_FIELDS = ("repoURL", "path", "chart", "targetRevision")


def application_status(obj: Object, revision: str = "") -> Status:
    """Return ready if the Application is Synced and Healthy for its current spec and after its last operation.

    If a revision is given, the Application must be at that revision. Argo CD writes no observedGeneration for
    Applications. Therefore the source in status.sync.comparedTo is compared with the source in the spec.
    """
    status = obj.get("status") or {}
    sync, health = status.get("sync") or {}, status.get("health") or {}
    operation = status.get("operationState") or {}
    errors = _errors(status)
    if not sync.get("status"):
        return not_ready("Argo CD has not compared the Application with Git yet" + errors)
    if _compared_to_other_source(obj):
        return not_ready("Argo CD has not compared the Application since its source was changed" + errors)
    if obj.get("operation"):
        return not_ready("a sync was requested and has not started yet")
    if operation.get("phase") in ("Running", "Terminating"):
        return not_ready(f"a sync is {operation['phase'].lower()}{_suffix(operation.get('message'))}")
    at = _revisions(sync)
    if revision and not any(same_revision(revision, found) for found in at):
        seen = " and ".join(found[:12] for found in at) or "no revision"
        return not_ready(f"is at {seen}, not at {revision[:12]}{errors}")
    if sync["status"] != "Synced":
        failed = operation.get("phase") in ("Failed", "Error")
        last = f"; last sync {operation['phase'].lower()}{_suffix(operation.get('message'))}" if failed else ""
        return not_ready(f"sync status is {sync['status']}{last}{errors}")
    if health.get("status") != "Healthy":
        said = _suffix(health.get("message")) or _unhealthy_resources(status)
        return not_ready(f"health is {health.get('status') or 'unknown'}{said}{errors}")
    finished, reconciled = operation.get("finishedAt"), status.get("reconciledAt")
    # Both times are RFC 3339 in UTC, so they can be compared as text. Ignore a health from before the end of the sync.
    if finished and reconciled and reconciled < finished:
        return not_ready("its health was determined before the last sync ended")
    return ready(f"Synced and Healthy{' at ' + at[0][:12] if at else ''}")


def same_revision(wanted: str, found: str) -> bool:
    """Return whether both hashes name the same commit. A short hash needs at least seven characters."""
    wanted, found = wanted.lower(), found.lower()
    return wanted == found or (len(wanted) >= 7 and found.startswith(wanted))


def rollout_status(obj: Object) -> Status:
    """Return ready if the controller reports Healthy. An aborted Rollout needs an operator, so it is terminal."""
    status = obj.get("status") or {}
    phase, message = status.get("phase"), _suffix(status.get("message"))
    if status.get("abort"):
        return not_ready(f"was aborted{message}", terminal=True)
    if phase != "Healthy":
        return not_ready(f"phase is {phase or 'not set'}{message}")
    return ready("Healthy")


def _revisions(sync: Mapping[str, t.Any]) -> list[str]:
    return [r for r in [sync.get("revision"), *(sync.get("revisions") or [])] if r]


def _sources(container: Mapping[str, t.Any]) -> list[Mapping[str, t.Any]]:
    return list(container.get("sources") or [container.get("source") or {}])


def _compared_to_other_source(obj: Object) -> bool:
    spec = obj.get("spec") or {}
    compared = ((obj.get("status") or {}).get("sync") or {}).get("comparedTo")
    if not compared or spec.get("sourceHydrator"):
        return False

    def key(container: Mapping[str, t.Any]) -> list[tuple[t.Any, ...]]:
        return [tuple(source.get(field) or "" for field in _SOURCE_FIELDS) for source in _sources(container)]

    return key(spec) != key(compared)


def _errors(status: Mapping[str, t.Any]) -> str:
    found = [c for c in status.get("conditions") or [] if str(c.get("type", "")).endswith("Error")]
    return "".join(f"; {c['type']}: {c.get('message') or 'no message'}" for c in found)


def _unhealthy_resources(status: Mapping[str, t.Any]) -> str:
    lines = []
    for resource in status.get("resources") or []:
        health = resource.get("health") or {}
        if health.get("status") not in (None, "", "Healthy", "Suspended"):
            name = f"{resource.get('kind')} {resource.get('name')}"
            lines.append(f"{name} is {health['status']}{_suffix(health.get('message'))}")
    return ": " + "; ".join(lines[:3]) if lines else ""


def _suffix(message: t.Any) -> str:
    return f": {message}" if message else ""
