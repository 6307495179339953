# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The normalized state of a kind cluster before and after a plan, for --diff. Pure functions."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._kind.node_labels import (
    managed,
    normalised,
    owned,
    remembers,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.plan import (
    RUNNING,
    Action,
    Seen,
    described_mounts,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import ClusterSpec


def snapshot(
    spec: ClusterSpec, seen: Seen, found: t.Mapping[str, t.Mapping[str, t.Any]], kubeconfig: str
) -> dict[str, t.Any]:
    """Return the observed state. It contains only files that differ."""
    files = _files(seen, "before")
    if not seen.containers:
        return ({"network": spec.network} if seen.network else {}) | files
    described = {one.name: one for one in spec.nodes}
    nodes = {}
    for one in seen.containers:
        entry: dict[str, t.Any] = {
            "container": one.status,
            "image": one.image,
            "ports": sorted(one.ports),
            "mounts": described_mounts(one),
        }
        if one.name in found:
            entry |= managed(described[one.name], found[one.name])
            # Annotations are derived from labels and taints. Show them only if nothing else differs.
            patch = next((patch for patch in seen.patches or () if patch.node == one.name), None)
            if patch and patch.only_annotations:
                entry["remembered"] = remembers(found[one.name])
        nodes[one.name] = entry
    return {
        "network": spec.network if seen.network else None,
        "kubeconfig": seen.kubeconfig_problem or kubeconfig,
        "nodes": nodes,
        **files,
        **{key: value for key, value in (seen.created or {}).items() if key in spec.patches()},
    }


def predict(
    spec: ClusterSpec,
    plan: t.Sequence[Action],
    seen: Seen,
    before: dict[str, t.Any],
    found: t.Mapping[str, t.Mapping[str, t.Any]],
    kubeconfig: str,
) -> dict[str, t.Any]:
    """Return the state after the plan."""
    if not plan:
        return before
    new = any(one.verb == "create_cluster" for one in plan)
    nodes: dict[str, t.Any] = {}
    for node in spec.nodes:
        entry = {} if new else dict(before["nodes"][node.name])
        entry["container"] = RUNNING
        if new:
            entry["image"] = spec.image
            entry["ports"] = sorted(map(str, spec.ports_of(node)))
            entry["mounts"] = sorted(map(str, spec.mounts))
        if new or node.name in found:
            entry |= normalised(node.labels, node.taints)
        if "remembered" in entry:
            entry["remembered"] = owned(node.labels, node.taints)
        nodes[node.name] = entry
    after = {"network": spec.network, "kubeconfig": kubeconfig, "nodes": nodes, **_files(seen, "after")}
    return {**before, **after, **(spec.patches() if new else {})}


def _files(seen: Seen, when: str) -> dict[str, t.Any]:
    contents = {str(one.path): getattr(one, when) for one in seen.file_changes}
    found = {path: content.splitlines() for path, content in contents.items() if content is not None}
    return {"files": found} if found else {}
