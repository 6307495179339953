# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Plan the changes of a kind cluster from its observed state. Pure functions."""

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

# Mounts that kind itself adds to a node, depending on the host.
_KIND_MOUNTS = frozenset({OWNER_MOUNT, "/lib/modules", "/dev/mapper", "/dev/fuse", "/sys/fs/cgroup"})
RUNNING = "running"


@dataclass(frozen=True)
class Action:
    """One step. Its class describes the effect: in_place, create, start, recreate, remove, or refuse."""

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
    """The observed state on which the plan depends."""

    containers: t.Sequence[Container] = ()
    nonces: t.AbstractSet[str] = frozenset()
    network: Network | None = None
    interrupted: str | None = None
    created: t.Mapping[str, t.Any] | None = None
    image_id: str | None = None
    kubeconfig_problem: str | None = None
    # Differences of Node objects. None: the API server cannot be reached (yet).
    patches: t.Sequence[NodePatch] | None = None
    file_changes: t.Sequence[FileChange] = ()
    network_users: t.AbstractSet[str] = frozenset()
    files: t.Sequence[str] = field(default=())


def described_mounts(container: Container) -> list[str]:
    """Return the mounts that the description must contain, without those of kind and the owner mark."""
    return sorted(str(one) for one in container.mounts if one.container_path not in _KIND_MOUNTS)


def require_ownership(name: str, seen: Seen) -> None:
    """Refuse a cluster with a container that does not belong to it, and show the evidence."""
    foreign = [one for one in seen.containers if one.nonce not in seen.nonces]
    if not foreign:
        return
    lines = []
    for one in foreign:
        mark = "the owner nonce of another state directory" if one.nonce else "no owner nonce"
        lines.append(f"{one.name} ({one.id[:12]}, {one.status}, created {one.created}, image {one.image}, {mark})")
    ours = len(seen.containers) - len(foreign)
    also = f" {ours} other containers belong to this cluster and were not changed either." if ours else ""
    raise Refused(
        f"Kind cluster {name} exists, but Drystone did not create it, so nothing was changed. "
        f"Seen: {'; '.join(lines)}.{also} "
        f"Set another cluster name, or, if you do not need this cluster, remove it: kind delete cluster --name {name}",
        containers=[one.evidence() for one in foreign],
    )


def require_own_network(name: str, seen: Seen) -> None:
    """Refuse a network that does not belong to the cluster, and show the evidence."""
    if seen.network is None or seen.network.nonce in seen.nonces:
        return
    mark = "the owner nonce of another state directory" if seen.network.nonce else "no owner nonce"
    raise Refused(
        f"Docker network {seen.network.name} exists, but Drystone did not create it for kind cluster {name}, so "
        f"nothing was changed. Seen: {_evidence(seen.network)}; it has {mark}. Set another network (option network, "
        f"role variable kind_cluster_network), or, if the network is unused, remove it: "
        f"docker network rm {seen.network.id[:12]}",
        network=seen.network.name,
    )


def plan_network(network: str, seen: Seen) -> list[Action]:
    """Return the steps that create the network."""
    return [] if seen.network else [Action("create", "create_network", network, "the network does not exist")]


def plan_start(context: str, seen: Seen) -> list[Action]:
    """Return the steps that start existing nodes, regardless of the description."""
    stopped = [one for one in seen.containers if one.status != RUNNING]
    # Workers connect to the API server by name, so start the control plane first.
    stopped.sort(key=lambda one: (one.role != CONTROL_PLANE, one.name))
    plan = [Action("start", "start_node", one.name, f"its container is {one.status}") for one in stopped]
    if seen.kubeconfig_problem:
        plan.append(Action("in_place", "write_kubeconfig", context, seen.kubeconfig_problem))
    return plan


def plan_present(spec: ClusterSpec, seen: Seen, recreate: bool) -> list[Action]:
    """Return the steps from the observed state to the description."""
    plan = plan_network(spec.network, seen)
    plan += [Action("in_place", "write_file", str(one.path), one.reason) for one in seen.file_changes]
    creation = Action("create", "create_cluster", spec.name, "none of its nodes exists")
    nodes = ", ".join(one.name for one in seen.containers)
    if not seen.containers:
        return [*plan, creation]
    if seen.interrupted:
        reason = f"a previous run was killed during its {seen.interrupted}"
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
    """Refuse a plan with a step that the user must allow."""
    refused = [one for one in plan if one.class_ == "refuse"]
    if refused:
        raise Refused(
            f"Kind cluster {name} cannot be updated in place to match its description, so nothing was changed: "
            f"{refused[0].reason}. Restore the description, or set recreate: true "
            "(role variable kind_cluster_recreate) for one run, which removes the cluster with all its data.",
            plan=[one.to_dict() for one in plan],
        )


def plan_absent(name: str, seen: Seen) -> tuple[list[Action], list[str]]:
    """Return the steps that remove the cluster, and the objects that are kept with the reasons."""
    plan, kept = [], []
    if seen.containers:
        names = ", ".join(one.name for one in seen.containers)
        plan.append(Action("remove", "remove_nodes", names, "state is absent"))
    if seen.network:
        others = seen.network_users - {one.id for one in seen.containers}
        if seen.network.nonce not in seen.nonces:
            kept.append(f"network {_evidence(seen.network)}: Drystone did not create it for cluster {name}")
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
        yield f"node {name} is described, but has no container ({len(wanted)} nodes described, {len(found)} found)"
    for name in sorted(found.keys() - wanted.keys()):
        yield f"node {name} exists, but is not described ({len(wanted)} nodes described, {len(found)} found)"
    for name in sorted(wanted.keys() & found.keys()):
        container, node = found[name], wanted[name]
        if container.image != spec.image and container.image_id != seen.image_id:
            yield f"node {name} runs image {container.image}, but {spec.image} is described"
        yield from _set_difference(name, "port", container.ports, frozenset(map(str, spec.ports_of(node))))
        mounts = frozenset(described_mounts(container))
        yield from _set_difference(name, "mount", mounts, frozenset(map(str, spec.mounts)))
        if seen.network is None:
            yield f"node {name} is in a network {spec.network} that was removed"
        elif spec.network not in container.networks:
            networks = ", ".join(sorted(container.networks)) or "none"
            yield f"node {name} is in network {networks} instead of {spec.network}"
        elif container.networks[spec.network] not in ("", seen.network.id):
            yield f"node {name} is in a network {spec.network} that was removed and created again"
    for key, described in spec.patches().items():
        was = (seen.created or {}).get(key)
        if was is not None and was != described:
            yield _patch_difference(key, was, described)


def _set_difference(node: str, what: str, has: frozenset[str], wants: frozenset[str]) -> t.Iterator[str]:
    for one in sorted(wants - has):
        yield f"node {node} lacks {what} {one}"
    for one in sorted(has - wants):
        yield f"node {node} has {what} {one}, which is not described"


def _patch_difference(key: str, was: t.Any, described: list[t.Any]) -> str:
    if not isinstance(was, list):
        return f"{key} differ from those at the creation"
    gone = [one for one in was if one not in described]
    new = [one for one in described if one not in was]
    parts = [f"described {new}"] if new else []
    parts += [f"created with {gone}"] if gone else []
    return f"{key} differ: {', '.join(parts) or 'their order'}"
