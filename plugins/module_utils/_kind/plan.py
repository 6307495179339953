# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise of compatibility to code outside of it.
"""Decides, from what was seen, what has to be done to a kind cluster. Pure: nothing is read or changed here."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import Refused
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import Container, Network
from ansible_collections.drystone.platform.plugins.module_utils._kind.node_files import FileChange
from ansible_collections.drystone.platform.plugins.module_utils._kind.node_labels import NodePatch
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import (
    CONTROL_PLANE,
    OWNER_MOUNT,
    ClusterSpec,
)

# What kind itself binds into a node, depending on the host.
_KIND_MOUNTS = frozenset({OWNER_MOUNT, "/lib/modules", "/dev/mapper", "/dev/fuse", "/sys/fs/cgroup"})
RUNNING = "running"


@dataclass(frozen=True)
class Action:
    """One step. Its class says what it costs: in_place, create, start, recreate, remove, or refuse."""

    class_: str
    verb: str
    target: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        return {"class": self.class_, "action": self.verb, "target": self.target, "reason": self.reason}

    def __str__(self) -> str:
        return f"{self.class_}: {self.verb} {self.target} ({self.reason})"


@dataclass(frozen=True)
class Seen:
    """Everything the decision depends on."""

    containers: t.Sequence[Container] = ()
    nonces: t.AbstractSet[str] = frozenset()
    network: Network | None = None
    interrupted: str | None = None
    created: t.Mapping[str, t.Any] | None = None
    image_id: str | None = None
    kubeconfig_problem: str | None = None
    # What differs in the node objects; None: the API server can't be asked (yet).
    patches: t.Sequence[NodePatch] | None = None
    file_changes: t.Sequence[FileChange] = ()
    network_users: t.AbstractSet[str] = frozenset()
    files: t.Sequence[str] = field(default=())


def described_mounts(container: Container) -> list[str]:
    """List the mounts that a description has to name; kind's own and the owner mark come by themselves."""
    return sorted(str(one) for one in container.mounts if one.container_path not in _KIND_MOUNTS)


def require_ownership(name: str, seen: Seen) -> None:
    """Stop with the evidence if any container of that name isn't ours."""
    foreign = [one for one in seen.containers if one.nonce not in seen.nonces]
    if not foreign:
        return
    lines = []
    for one in foreign:
        mark = "an owner mark of another state directory" if one.nonce else "no owner mark"
        lines.append(f"{one.name} ({one.id[:12]}, {one.status}, created {one.created}, image {one.image}, {mark})")
    ours = len(seen.containers) - len(foreign)
    also = f" {ours} more of that name are ours and were left alone too." if ours else ""
    raise Refused(
        f"Kind cluster {name} exists and wasn't made here, so nothing was changed. Seen: {'; '.join(lines)}.{also} "
        f"Choose another cluster name, or, if it is yours to lose, remove it: kind delete cluster --name {name}",
        containers=[one.evidence() for one in foreign],
    )


def require_own_network(name: str, seen: Seen) -> None:
    """Stop with the evidence if the network of the cluster isn't ours: nothing may join it or be removed with it."""
    if seen.network is None or seen.network.nonce in seen.nonces:
        return
    mark = "the owner mark of another state directory" if seen.network.nonce else "no owner mark"
    raise Refused(
        f"Docker network {seen.network.name} exists and wasn't made here for kind cluster {name}, so nothing was "
        f"changed. Seen: {_evidence(seen.network)}; it has {mark}. Choose another network (option network, role "
        f"variable kind_cluster_network), or, if nobody needs it, remove it: docker network rm {seen.network.id[:12]}",
        network=seen.network.name,
    )


def plan_network(network: str, seen: Seen) -> list[Action]:
    """Order the steps to the network alone."""
    return [] if seen.network else [Action("create", "create_network", network, "there is no such network")]


def plan_start(context: str, seen: Seen) -> list[Action]:
    """Order the steps that have what is there run again, whatever is described."""
    stopped = [one for one in seen.containers if one.status != RUNNING]
    # Workers find the API server by name: it has to be there first.
    stopped.sort(key=lambda one: (one.role != CONTROL_PLANE, one.name))
    plan = [Action("start", "start_node", one.name, f"its container is {one.status}") for one in stopped]
    if seen.kubeconfig_problem:
        plan.append(Action("in_place", "write_kubeconfig", context, seen.kubeconfig_problem))
    return plan


def plan_present(spec: ClusterSpec, seen: Seen, recreate: bool) -> list[Action]:
    """Order the steps from what was seen to what is described."""
    plan = plan_network(spec.network, seen)
    plan += [Action("in_place", "write_file", str(one.path), one.reason) for one in seen.file_changes]
    creation = Action("create", "create_cluster", spec.name, "no node of it exists")
    nodes = ", ".join(one.name for one in seen.containers)
    if not seen.containers:
        return [*plan, creation]
    if seen.interrupted:
        reason = f"a run was killed in the middle of its {seen.interrupted}"
        return [
            *plan,
            Action("recreate", "remove_nodes", nodes, reason),
            Action("recreate", "create_cluster", spec.name, reason),
        ]
    differences = list(_differences(spec, seen))
    if differences:
        class_ = "recreate" if recreate else "refuse"
        reasons = "; ".join(differences)
        return [
            *plan,
            Action(class_, "remove_nodes", nodes, reasons),
            Action(class_, "create_cluster", spec.name, reasons),
        ]
    plan += plan_start(spec.context, seen)
    plan += [Action("in_place", "patch_node", patch.node, patch.summary()) for patch in seen.patches or ()]
    return plan


def refuse(name: str, plan: t.Sequence[Action]) -> None:
    """Stop if the plan has a step that only the user may allow."""
    refused = [one for one in plan if one.class_ == "refuse"]
    if refused:
        raise Refused(
            f"Kind cluster {name} can't become what is described without being made again, so nothing was changed: "
            f"{refused[0].reason}. Put the description back, or set recreate: true "
            "(role variable kind_cluster_recreate) for one run: it removes the cluster with all data in it.",
            plan=[one.to_dict() for one in plan],
        )


def plan_absent(name: str, seen: Seen) -> tuple[list[Action], list[str]]:
    """Order the steps to nothing; and say what stays, and why."""
    plan, kept = [], []
    if seen.containers:
        names = ", ".join(one.name for one in seen.containers)
        plan.append(Action("remove", "remove_nodes", names, "state is absent"))
    if seen.network:
        others = seen.network_users - {one.id for one in seen.containers}
        if seen.network.nonce not in seen.nonces:
            kept.append(f"network {_evidence(seen.network)}: not made here for cluster {name}")
        elif others:
            used = ", ".join(sorted(one[:12] for one in others))
            kept.append(f"network {seen.network.name}: in use by containers {used}")
        else:
            plan.append(Action("remove", "remove_network", seen.network.name, "state is absent"))
    if seen.files:
        plan.append(Action("remove", "remove_files", ", ".join(seen.files), "state is absent"))
    return plan, kept


def _evidence(network: Network) -> str:
    labels = ", ".join(f"{key}={value}" for key, value in sorted(network.labels.items())) or "none"
    return f"{network.name} ({network.id[:12]}, created {network.created}, labels: {labels})"


def _differences(spec: ClusterSpec, seen: Seen) -> t.Iterator[str]:
    found = {one.name: one for one in seen.containers}
    wanted = {one.name: one for one in spec.nodes}
    for name in sorted(wanted.keys() - found.keys()):
        yield f"node {name} is described and has no container ({len(wanted)} nodes described, {len(found)} found)"
    for name in sorted(found.keys() - wanted.keys()):
        yield f"node {name} exists and isn't described ({len(wanted)} nodes described, {len(found)} found)"
    for name in sorted(wanted.keys() & found.keys()):
        container, node = found[name], wanted[name]
        if container.image != spec.image and container.image_id != seen.image_id:
            yield f"node {name} runs image {container.image}, described is {spec.image}"
        yield from _set_difference(name, "port", container.ports, frozenset(map(str, spec.ports_of(node))))
        mounts = frozenset(described_mounts(container))
        yield from _set_difference(name, "mount", mounts, frozenset(map(str, spec.mounts)))
        if seen.network is None:
            yield f"node {name} is on a network {spec.network} that was removed"
        elif spec.network not in container.networks:
            yield f"node {name} is on network {', '.join(sorted(container.networks)) or 'none'}, not on {spec.network}"
        elif container.networks[spec.network] not in ("", seen.network.id):
            yield f"node {name} is on a network {spec.network} that was removed and made again since"
    for key, described in spec.patches().items():
        was = (seen.created or {}).get(key)
        if was is not None and was != described:
            yield _patch_difference(key, was, described)


def _set_difference(node: str, what: str, has: frozenset[str], wants: frozenset[str]) -> t.Iterator[str]:
    for one in sorted(wants - has):
        yield f"node {node} lacks {what} {one}"
    for one in sorted(has - wants):
        yield f"node {node} has {what} {one}, which isn't described"


def _patch_difference(key: str, was: t.Any, described: list[t.Any]) -> str:
    if not isinstance(was, list):
        return f"{key} differ from those of the creation"
    gone = [one for one in was if one not in described]
    new = [one for one in described if one not in was]
    parts = [f"described {new}"] if new else []
    parts += [f"made with {gone}"] if gone else []
    return f"{key} differ: {', '.join(parts) or 'their order'}"
