# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the rendered objects of a workload and classify each change by its impact. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import diff_entry, masked
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

# The classes of impact, from the least to the most dangerous one
CLASSES = ("image", "configuration", "size", "network", "rights", "storage", "removal")

# The class of all changes of an object of these kinds
_KINDS = {
    "ConfigMap": "configuration",
    "Secret": "configuration",  # nosec B105  # a class of impact
    "HorizontalPodAutoscaler": "size",
    "PodDisruptionBudget": "size",
    "ResourceQuota": "size",
    "LimitRange": "size",
    "Service": "network",
    "Ingress": "network",
    "NetworkPolicy": "network",
    "ServiceAccount": "rights",
    "ClusterRole": "rights",
    "ClusterRoleBinding": "rights",
    "Role": "rights",
    "RoleBinding": "rights",
    "PersistentVolumeClaim": "storage",
}
# The class of a changed field of any other object: the first pattern that matches its path decides.
_FIELDS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        # Kubernetes does not change these fields: somebody must delete the object.
        (r"^/(apiVersion|kind)$|^/spec/(selector|serviceName|podManagementPolicy)(/|$)", "removal"),
        (r"^/spec/volumeClaimTemplates(/|$)|/persistentVolumeClaim(/|$)", "storage"),
        (r"ontainers/[^/]+/image$", "image"),
        (r"^/spec/replicas$|ontainers/[^/]+/resources(/|$)|/sizeLimit$", "size"),
        (r"ontainers/[^/]+/ports(/|$)|/(hostNetwork|hostPort|dnsPolicy|hostAliases)(/|$)", "network"),
        (r"/(securityContext|serviceAccountName|automountServiceAccountToken|hostPID|hostIPC|hostPath)(/|$)", "rights"),
    )
)
# Only workloads have immutable selectors.
_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "Job")
# The suffix that kustomize adds to the name of a generated ConfigMap or Secret
_GENERATED = re.compile(r"-[2456789bcdfghkmt]{10}$")
_GENERATED_KINDS = ("ConfigMap", "Secret")

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """A change of one object: added, removed or changed, the classes of its impact, and its diff."""

    action: str
    kind: str
    name: str
    impacts: tuple[str, ...]
    diff: dict[str, str]

    def facts(self) -> dict[str, t.Any]:
        """Return the change as a result of a module."""
        return {"action": self.action, "kind": self.kind, "name": self.name, "impacts": list(self.impacts)}


def compare(before: t.Sequence[Object], after: t.Sequence[Object]) -> list[Change]:
    """Return the changes from one list of rendered objects to the other, in the order of kind and name.

    A generated ConfigMap or Secret whose name differs only in the hash of its content counts as the same object.
    """
    old, new = {_key(obj): obj for obj in before}, {_key(obj): obj for obj in after}
    changes = []
    for key in sorted({*old, *new}):
        one, other = old.get(key), new.get(key)
        if one is not None and other is not None and masked(one) == masked(other):
            continue
        shown = other if other is not None else t.cast("Object", one)
        kind, name = shown["kind"], shown["metadata"]["name"]
        if one is None:
            action, impacts = "added", {_KINDS.get(kind, "configuration")}
        elif other is None:
            action, impacts = "removed", {"removal"}
        else:
            action, impacts = "changed", _impacts(one, other)
        ordered = tuple(name for name in CLASSES if name in impacts)
        changes.append(Change(action, kind, name, ordered, diff_entry(f"{kind} {name}", one, other)))
    return changes


def _key(obj: Object) -> Key:
    kind, name = obj["kind"], obj["metadata"]["name"]
    group = obj["apiVersion"].rpartition("/")[0]
    return group, kind, _GENERATED.sub("", name) if kind in _GENERATED_KINDS else name


def _impacts(before: Object, after: Object) -> set[str]:
    kind = after["kind"]
    if kind in _KINDS:
        return {_KINDS[kind]}
    return {_impact(kind, path) for path in changed_fields(masked(before), masked(after))}


def _impact(kind: str, path: str) -> str:
    for pattern, name in _FIELDS:
        if pattern.search(path) and (name != "removal" or kind in _WORKLOADS):
            return name
    return "configuration"


def changed_fields(before: t.Any, after: t.Any, path: str = "") -> list[str]:
    """Return the paths of all fields that differ. The entries of a list with names are compared by name.

    If one side is missing, the paths are those of the fields of the other side.
    """
    if before == after:
        return []
    if before is None and after:
        before = type(after)() if isinstance(after, (dict, list)) else None
    if after is None and before:
        after = type(before)() if isinstance(before, (dict, list)) else None
    if isinstance(before, list) and isinstance(after, list):
        named = [_by_name(before), _by_name(after)]
        if None in named:
            return [path]
        before, after = named
    if not isinstance(before, dict) or not isinstance(after, dict):
        return [path]
    return [
        field
        for key in sorted({*before, *after})
        for field in changed_fields(before.get(key), after.get(key), f"{path}/{key}")
    ]


def _by_name(entries: list[t.Any]) -> dict[str, t.Any] | None:
    found = {str(entry["name"]): entry for entry in entries if isinstance(entry, dict) and "name" in entry}
    return found if len(found) == len(entries) else None
