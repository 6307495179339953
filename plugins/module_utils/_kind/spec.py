# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The description of a kind cluster, and the kind configuration that is made from it."""

from __future__ import annotations

import json
import typing as t
from dataclasses import dataclass, field

LISTEN_ADDRESS = "127.0.0.1"
API_SERVER_CONTAINER_PORT = 6443
OWNER_MOUNT = "/etc/drystone/owner"
CONTROL_PLANE, WORKER = "control-plane", "worker"
TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True)
class Taint:
    key: str
    effect: str
    value: str = ""

    def to_dict(self) -> dict[str, str]:
        value = {"value": self.value} if self.value else {}
        return {"key": self.key, **value, "effect": self.effect}


@dataclass(frozen=True)
class Node:
    name: str
    role: str
    labels: t.Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True)
class Port:
    container_port: int
    host_port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{LISTEN_ADDRESS}:{self.host_port}->{self.container_port}/{self.protocol.lower()}"


@dataclass(frozen=True)
class Mount:
    host_path: str
    container_path: str
    read_only: bool = False
    # Contents of files in the host path, by relative path.
    files: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return f"{self.host_path}:{self.container_path}:{'ro' if self.read_only else 'rw'}"


@dataclass(frozen=True)
class Prefetch:
    reference: str
    nodes: str = WORKER
    labels: t.Mapping[str, str] = field(default_factory=dict)

    def wanted_by(self, node: Node) -> bool:
        return self.nodes in ("all", node.role) and self.labels.items() <= node.labels.items()


@dataclass(frozen=True)
class ClusterSpec:
    name: str
    image: str
    nodes: tuple[Node, ...]
    network: str
    api_port: int
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    kubeadm_config_patches: tuple[t.Mapping[str, t.Any], ...] = ()
    containerd_config_patches: tuple[str, ...] = ()
    prefetch: tuple[Prefetch, ...] = ()

    @property
    def context(self) -> str:
        return f"kind-{self.name}"

    @property
    def control_plane(self) -> Node:
        return next(node for node in self.nodes if node.role == CONTROL_PLANE)

    def ports_of(self, node: Node) -> tuple[Port, ...]:
        """Return the published ports of a node. Only the control plane has any."""
        if node.role != CONTROL_PLANE:
            return ()
        return (Port(API_SERVER_CONTAINER_PORT, self.api_port), *self.ports)

    def patches(self) -> dict[str, list[t.Any]]:
        """Return the settings that cannot be read from a container, only from the configuration of the creation."""
        return {
            "kubeadm_config_patches": [dict(patch) for patch in self.kubeadm_config_patches],
            "containerd_config_patches": list(self.containerd_config_patches),
        }

    def kind_config(self, owner_file: str) -> dict[str, t.Any]:
        """Return the configuration for kind. It has no labels and taints, which are set through the API server."""
        mounts = [
            {"hostPath": mount.host_path, "containerPath": mount.container_path, "readOnly": mount.read_only}
            for mount in (*self.mounts, Mount(owner_file, OWNER_MOUNT, True))
        ]
        nodes: list[dict[str, t.Any]] = []
        for node in self.nodes:
            entry: dict[str, t.Any] = {"role": node.role, "image": self.image, "extraMounts": mounts}
            if node.role == CONTROL_PLANE and self.ports:
                entry["extraPortMappings"] = [
                    {
                        "containerPort": port.container_port,
                        "hostPort": port.host_port,
                        "listenAddress": LISTEN_ADDRESS,
                        "protocol": port.protocol,
                    }
                    for port in self.ports
                ]
            nodes.append(entry)
        return {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "name": self.name,
            "networking": {"apiServerAddress": LISTEN_ADDRESS, "apiServerPort": self.api_port},
            "nodes": nodes,
            "kubeadmConfigPatches": [json.dumps(patch) for patch in self.kubeadm_config_patches],
            "containerdConfigPatches": list(self.containerd_config_patches),
        }
