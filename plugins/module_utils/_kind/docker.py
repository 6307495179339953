# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The docker and kind commands for a kind cluster, and the state of its node containers."""

from __future__ import annotations

import json
import os
import shutil
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._command import TIMED_OUT, require, run, tail
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import OWNER_MOUNT, Mount
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import nonce_of

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
CLUSTER_NAME_LABEL, OWNER_LABEL = "drystone.dev/cluster", "drystone.dev/owner"
_ANSWER_WITHIN = 60.0


@dataclass(frozen=True)
class Container:
    """A node container as `docker inspect` shows it."""

    id: str
    name: str
    role: str
    status: str
    created: str
    image: str
    image_id: str
    ports: frozenset[str]
    mounts: tuple[Mount, ...]
    networks: t.Mapping[str, str]

    @property
    def nonce(self) -> str | None:
        owner = next((mount for mount in self.mounts if mount.container_path == OWNER_MOUNT), None)
        return nonce_of(owner.host_path) if owner else None

    def evidence(self) -> dict[str, t.Any]:
        """Return facts about the container that help the user to identify its owner."""
        return {
            "name": self.name,
            "id": self.id[:12],
            "created": self.created,
            "status": self.status,
            "image": self.image,
            "mounts": [str(mount) for mount in self.mounts],
            "networks": sorted(self.networks),
        }


@dataclass(frozen=True)
class Network:
    """A Docker network and its owner."""

    id: str
    name: str
    nonce: str | None
    created: str = ""
    labels: t.Mapping[str, str] = field(default_factory=dict)


def find_program(name: str, option: str) -> str:
    """Find a program on PATH or by its path."""
    found = shutil.which(name)
    if not found:
        raise InvalidInput(
            f"Looking for {name}: the file does not exist or is not executable. "
            f"Run the roles container_engine and artifacts first, or set {option}."
        )
    return found


class Docker:
    """The operations of the engine that a kind cluster needs."""

    def __init__(self, binary: str) -> None:
        self._client = DockerClient(binary=binary)

    def containers(self, cluster: str) -> list[Container]:
        """Return all containers with the label of the cluster, regardless of their owner and state."""
        doing = f"Looking for the nodes of kind cluster {cluster}"
        ids = self._client.containers(f"label={CLUSTER_LABEL}={cluster}", doing=doing)
        found = self._client.inspect(ids, doing=doing)
        return sorted(map(_container, found), key=lambda one: one.name)

    def network(self, name: str) -> Network | None:
        doing = f"Looking for docker network {name}"
        listed = self._client.do(
            "network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}", doing=doing
        ).splitlines()
        ids = [line.split(" ", 1)[0] for line in listed if line.split(" ", 1)[1:] == [name]]
        if not ids:
            return None
        if len(ids) > 1:
            raise CommandFailed(f"{doing}: {len(ids)} networks have this name ({', '.join(ids)}). Remove all but one.")
        found = json.loads(self._client.do("network", "inspect", ids[0], doing=doing))[0]
        labels = found.get("Labels") or {}
        return Network(found["Id"], name, labels.get(OWNER_LABEL), found.get("Created", ""), labels)

    def users_of_network(self, network: Network) -> set[str]:
        """Return the ids of all containers in the network, including stopped ones."""
        doing = f"Looking for users of docker network {network.name}"
        return set(self._client.containers(f"network={network.id}", doing=doing))

    def create_network(self, name: str, cluster: str, nonce: str) -> None:
        doing = f"Creating docker network {name}"
        # A network does not inherit the MTU of the default bridge. With a wrong MTU, Pods would lose packets.
        form = '{{index .Options "com.docker.network.driver.mtu"}}'
        mtu = self._client.do("network", "inspect", "bridge", "--format", form, doing=doing).strip()
        options = ["--opt", f"com.docker.network.driver.mtu={mtu}"] if mtu.isdigit() else []
        labels = ["--label", f"{CLUSTER_NAME_LABEL}={cluster}", "--label", f"{OWNER_LABEL}={nonce}"]
        self._client.do("network", "create", "--driver", "bridge", *options, *labels, name, doing=doing)

    def remove_network(self, network: Network) -> None:
        self._client.do("network", "rm", network.id, doing=f"Removing docker network {network.name}")

    def image_id(self, reference: str) -> str | None:
        """Return the id of an image, or None if the engine does not have it."""
        return self._client.image_id(reference)

    def start(self, container: Container) -> None:
        verb = "unpause" if container.status == "paused" else "start"
        self._client.do("container", verb, container.id, doing=f"Starting node {container.name}")

    def remove(self, containers: t.Sequence[Container]) -> None:
        """Remove these containers by id, with their anonymous volumes."""
        names = ", ".join(one.name for one in containers)
        self._client.remove([one.id for one in containers], doing=f"Removing nodes {names}")

    def execute(self, name: str, command: t.Sequence[str], timeout: float) -> None:
        self._client.do("exec", name, *command, doing=f"On node {name}", timeout=timeout)


class Kind:
    """The kind command with its own kubeconfig and network. It never uses the user's kubeconfig."""

    def __init__(self, binary: str) -> None:
        self._name = binary

    def require(self) -> str:
        """Find the program when it is needed. Before the first run it does not exist."""
        return find_program(self._name, "kind_binary")

    def create(self, name: str, config: str, kubeconfig: Path, network: str, timeout: float, lock: int) -> str:
        """Create a cluster. After a failure, the caller must remove the incomplete cluster."""
        command = [self.require(), "create", "cluster", "--name", name, "--config", "-"]
        command += ["--kubeconfig", str(kubeconfig), "--retain"]
        environment = _environment(kubeconfig, network)
        done = run(command, timeout, env=environment, text=config, merged=True, pass_fds=(lock,))
        if done.rc:
            seen = tail(done.stdout or done.stderr)
            ended = f"kind failed with exit code {done.rc}. Its output:"
            if done.rc == TIMED_OUT:
                ended = f"kind did not finish within {timeout:g} s (create_timeout). Its output:"
            raise CommandFailed(
                f"Creating kind cluster {name}: {ended}\n{seen}", command=command, rc=done.rc, output=seen
            )
        return done.stdout

    def kubeconfig(self, name: str, network: str) -> str:
        """Return the administrator's kubeconfig of the control plane."""
        command = [self.require(), "get", "kubeconfig", "--name", name]
        done = run(command, _ANSWER_WITHIN, env=_environment(Path(os.devnull), network))
        return require(done, command, doing=f"Reading the kubeconfig of kind cluster {name}")


def _environment(kubeconfig: Path, network: str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if key != "KIND_CLUSTER_NAME"},
        "KUBECONFIG": str(kubeconfig),
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
    }


def _container(found: dict[str, t.Any]) -> Container:
    labels = found["Config"].get("Labels") or {}
    ports = set()
    for inside, bindings in (found["HostConfig"].get("PortBindings") or {}).items():
        ports |= {f"{one.get('HostIp') or '*'}:{one.get('HostPort')}->{inside}" for one in bindings or []}
    mounts = [
        Mount(os.path.normpath(one["Source"]), os.path.normpath(one["Destination"]), not one.get("RW", True))
        for one in found.get("Mounts") or []
        if one.get("Type") == "bind"
    ]
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return Container(
        id=found["Id"],
        name=found["Name"].lstrip("/"),
        role=labels.get(ROLE_LABEL, ""),
        status=found["State"]["Status"],
        created=found.get("Created", ""),
        image=found["Config"]["Image"],
        image_id=found.get("Image", ""),
        ports=frozenset(ports),
        mounts=tuple(sorted(mounts, key=lambda one: one.container_path)),
        networks={name: (one or {}).get("NetworkID", "") for name, one in networks.items()},
    )
