# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Labels and taints of nodes, changed in place. Only those that Drystone set are removed."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import Node, Taint

OWNED_LABELS = "drystone.dev/owned-labels"
OWNED_TAINTS = "drystone.dev/owned-taints"


@dataclass(frozen=True)
class NodePatch:
    """The changes of one node."""

    node: str
    body: t.Mapping[str, t.Any]
    changes: tuple[str, ...]

    @property
    def only_annotations(self) -> bool:
        return not self.changes

    def summary(self) -> str:
        return ", ".join(self.changes) or "record the labels and taints of Drystone"


def owned(labels: t.Mapping[str, str], taints: t.Iterable[Taint]) -> dict[str, str | None]:
    """Return the annotations that record the labels and taints of Drystone. None removes an annotation."""
    keys = {OWNED_LABELS: sorted(labels), OWNED_TAINTS: sorted(_identity(one) for one in taints)}
    return {name: json.dumps(value, separators=(",", ":")) if value else None for name, value in keys.items()}


def remembers(found: t.Mapping[str, t.Any]) -> dict[str, str | None]:
    """Read these annotations of a Node object."""
    annotations = found["metadata"].get("annotations") or {}
    return {name: annotations.get(name) for name in (OWNED_LABELS, OWNED_TAINTS)}


def managed(node: Node, found: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the labels and taints of a Node object that are described or that Drystone set before, for a diff."""
    metadata = found["metadata"]
    keys = node.labels.keys() | set(_remembered(metadata, OWNED_LABELS))
    identities = {_identity(one) for one in node.taints} | set(_remembered(metadata, OWNED_TAINTS))
    labels = metadata.get("labels") or {}
    taints = [one for one in _taints(found) if _identity(one) in identities]
    return normalised({key: labels[key] for key in sorted(keys & labels.keys())}, taints)


def normalised(labels: t.Mapping[str, str], taints: t.Iterable[Taint]) -> dict[str, t.Any]:
    """Normalize labels and taints for a diff."""
    return {
        "labels": dict(sorted(labels.items())),
        "taints": sorted(f"{one.key}={one.value}:{one.effect}" for one in taints),
    }


def patch_for(node: Node, found: t.Mapping[str, t.Any]) -> NodePatch | None:
    """Compare a node with its description. Return None if nothing differs."""
    metadata = found["metadata"]
    labels, label_changes = _label_changes(node, metadata)
    taints, taint_changes = _taint_changes(node, found)
    has = remembers(found)
    annotations = {key: value for key, value in owned(node.labels, node.taints).items() if has[key] != value}
    changes = (*label_changes, *taint_changes)
    if not changes and not annotations:
        return None
    # With resourceVersion, the patch fails after a concurrent change instead of overwriting it.
    body: dict[str, t.Any] = {"metadata": {"resourceVersion": metadata.get("resourceVersion")}}
    if labels:
        body["metadata"]["labels"] = labels
    if annotations:
        body["metadata"]["annotations"] = annotations
    if taint_changes:
        body["spec"] = {"taints": taints}
    return NodePatch(node.name, body, changes)


def _label_changes(node: Node, metadata: t.Mapping[str, t.Any]) -> tuple[dict[str, str | None], list[str]]:
    has = metadata.get("labels") or {}
    patch: dict[str, str | None] = {}
    changes = []
    for key in sorted(_remembered(metadata, OWNED_LABELS)):
        if key not in node.labels and key in has:
            patch[key] = None
            changes.append(f"label -{key}={has[key]}")
    for key, value in sorted(node.labels.items()):
        if has.get(key) != value:
            patch[key] = value
            was = f" (was {has[key]!r})" if key in has else ""
            changes.append(f"label +{key}={value}{was}")
    return patch, changes


def _taint_changes(node: Node, found: t.Mapping[str, t.Any]) -> tuple[list[dict[str, t.Any]], list[str]]:
    remembered = _remembered(found["metadata"], OWNED_TAINTS)
    wanted = {_identity(one): one for one in node.taints}
    result: list[dict[str, t.Any]] = []
    changes = []
    present = set()
    for raw, taint in zip((found.get("spec") or {}).get("taints") or [], _taints(found), strict=True):
        identity = _identity(taint)
        present.add(identity)
        mine = wanted.get(identity)
        if mine is None and identity in remembered:
            changes.append(f"taint -{taint.key}={taint.value}:{taint.effect}")
        elif mine is not None and mine.value != taint.value:
            changes.append(f"taint {identity} value {taint.value!r} to {mine.value!r}")
            result.append(mine.to_dict())
        else:
            result.append(raw)
    for identity, taint in sorted(wanted.items()):
        if identity not in present:
            changes.append(f"taint +{taint.key}={taint.value}:{taint.effect}")
            result.append(taint.to_dict())
    return result, changes


def _taints(found: t.Mapping[str, t.Any]) -> list[Taint]:
    raw = (found.get("spec") or {}).get("taints") or []
    return [Taint(one["key"], one["effect"], one.get("value") or "") for one in raw]


def _identity(taint: Taint) -> str:
    return f"{taint.key}:{taint.effect}"


def _remembered(metadata: t.Mapping[str, t.Any], annotation: str) -> list[str]:
    # Anyone may have edited the annotation. Ignore invalid content, so that labels of others are never removed.
    try:
        value = json.loads((metadata.get("annotations") or {}).get(annotation, "[]"))
    except ValueError:
        return []
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
