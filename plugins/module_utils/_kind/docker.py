# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise of compatibility to code outside of it.
"""The docker and kind commands that a kind cluster needs, and what docker says of its node containers."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import OWNER_MOUNT, Mount
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import nonce_of

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
NETWORK_LABEL = "drystone.dev/cluster"
_TAIL_LINES = 40


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
        """Say whose container this may be, for whoever has to decide what becomes of it."""
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
    """A docker network and whose it is."""

    id: str
    name: str
    cluster: str | None


def find_program(name: str, option: str) -> str:
    """Find a program on PATH or by its path."""
    found = shutil.which(name)
    if not found:
        raise InvalidInput(
            f"Looking for {name}: it isn't there, or isn't executable. "
            f"Run the roles container_engine and artifacts first, or set {option}."
        )
    return found


def end_with_children() -> None:
    """Let a polite request to end (SIGTERM) take the kind command along, by an exception instead of sudden death."""

    def end(number: int, _frame: object) -> t.NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


def tail(output: str, lines: int = _TAIL_LINES) -> str:
    """Keep the end of an output: a failure is told there."""
    kept = [line.rstrip() for line in output.splitlines() if line.strip()]
    omitted = f"[{len(kept) - lines} lines before]\n" if len(kept) > lines else ""
    return omitted + "\n".join(kept[-lines:])


class Docker:
    """The docker commands in use; each is one process, none goes through a shell."""

    def __init__(self, binary: str, timeout: float = 120) -> None:
        self._binary = binary
        self._timeout = timeout

    def _run(self, *arguments: str, doing: str, timeout: float | None = None) -> str:
        command = [self._binary, *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=timeout or self._timeout
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(
                f"{doing}: `{' '.join(command)}` gave no answer in {error.timeout:g} s; is the engine stuck?",
                command=command,
            ) from None
        if done.returncode:
            raise CommandFailed(
                f"{doing}: `{' '.join(command)}` ended with {done.returncode}: {tail(done.stderr or done.stdout)}",
                command=command,
                rc=done.returncode,
                stderr=tail(done.stderr),
            )
        return done.stdout

    def _ids(self, filters: t.Sequence[str], doing: str) -> list[str]:
        arguments = [part for one in filters for part in ("--filter", one)]
        return self._run("ps", "--all", "--no-trunc", "--quiet", *arguments, doing=doing).split()

    def containers(self, cluster: str) -> list[Container]:
        """Every container that bears the cluster's label, whoever made it, in any state."""
        doing = f"Looking for the nodes of kind cluster {cluster}"
        ids = self._ids([f"label={CLUSTER_LABEL}={cluster}"], doing)
        if not ids:
            return []
        found = json.loads(self._run("container", "inspect", *ids, doing=doing))
        return sorted(map(_container, found), key=lambda one: one.name)

    def network(self, name: str) -> Network | None:
        doing = f"Looking for docker network {name}"
        listed = self._run("network", "ls", "--no-trunc", "--format", "{{.ID}} {{.Name}}", doing=doing).splitlines()
        ids = [line.split(" ", 1)[0] for line in listed if line.split(" ", 1)[1:] == [name]]
        if not ids:
            return None
        if len(ids) > 1:
            raise CommandFailed(f"{doing}: there are {len(ids)} of that name ({', '.join(ids)}); remove all but one.")
        found = json.loads(self._run("network", "inspect", ids[0], doing=doing))[0]
        return Network(found["Id"], name, (found.get("Labels") or {}).get(NETWORK_LABEL))

    def users_of_network(self, network: Network) -> set[str]:
        """The ids of all containers that need the network; a stopped one does too."""
        return set(self._ids([f"network={network.id}"], f"Looking for users of docker network {network.name}"))

    def create_network(self, name: str, cluster: str) -> None:
        doing = f"Creating docker network {name}"
        # A network doesn't inherit the MTU of the default bridge, and pods behind a smaller one would lose packets.
        form = '{{index .Options "com.docker.network.driver.mtu"}}'
        mtu = self._run("network", "inspect", "bridge", "--format", form, doing=doing).strip()
        options = ["--opt", f"com.docker.network.driver.mtu={mtu}"] if mtu.isdigit() else []
        label = f"{NETWORK_LABEL}={cluster}"
        self._run("network", "create", "--driver", "bridge", *options, "--label", label, name, doing=doing)

    def remove_network(self, network: Network) -> None:
        self._run("network", "rm", network.id, doing=f"Removing docker network {network.name}")

    def image_id(self, reference: str) -> str | None:
        """The id of an image of the engine; None if it has none of that name."""
        doing = f"Looking for image {reference}"
        try:
            return self._run("image", "inspect", "--format", "{{.Id}}", reference, doing=doing).strip()
        except CommandFailed as error:
            if "no such image" in str(error.facts.get("stderr", "")).lower():
                return None
            raise

    def start(self, container: Container) -> None:
        verb = "unpause" if container.status == "paused" else "start"
        self._run("container", verb, container.id, doing=f"Starting node {container.name}")

    def remove(self, containers: t.Sequence[Container]) -> None:
        """Remove exactly these containers, by id, with their anonymous volumes."""
        if containers:
            names = ", ".join(one.name for one in containers)
            ids = [one.id for one in containers]
            self._run("container", "rm", "--force", "--volumes", *ids, doing=f"Removing nodes {names}")

    def execute(self, name: str, command: t.Sequence[str], timeout: float) -> None:
        self._run("exec", name, *command, doing=f"On node {name}", timeout=timeout)


class Kind:
    """The kind command; it is given a kubeconfig and a network of its own and never sees the user's."""

    def __init__(self, binary: str) -> None:
        self._name = binary

    def require(self) -> str:
        """Find the program; the first check of a new host is made before there is one."""
        return find_program(self._name, "kind_binary")

    def create(self, name: str, config: str, kubeconfig: Path, network: str, timeout: float, lock: int) -> str:
        """Create a cluster; what is there of it after a failure stays, for the caller to remove."""
        command = [self.require(), "create", "cluster", "--name", name, "--config", "-"]
        command += ["--kubeconfig", str(kubeconfig), "--retain"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(kubeconfig, network),
            pass_fds=(lock,),
            start_new_session=True,
        )
        try:
            output = process.communicate(config, timeout=timeout)[0]
        except BaseException as error:
            _kill_group(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            seen = tail(process.communicate()[0] or "")
            raise CommandFailed(
                f"Creating kind cluster {name}: not done after {timeout:g} s (create_timeout). kind said:\n{seen}",
                command=command,
                output=seen,
            ) from None
        if process.returncode:
            raise CommandFailed(
                f"Creating kind cluster {name}: kind ended with {process.returncode}. It said:\n{tail(output)}",
                command=command,
                rc=process.returncode,
                output=tail(output),
            )
        return output

    def kubeconfig(self, name: str, network: str) -> str:
        """The administrator's kubeconfig, as the control plane has it."""
        command = [self.require(), "get", "kubeconfig", "--name", name]
        environment = _environment(Path(os.devnull), network)
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
        except subprocess.TimeoutExpired:
            raise CommandFailed(
                f"Reading the kubeconfig of kind cluster {name}: `{' '.join(command)}` gave no answer in 60 s.",
                command=command,
            ) from None
        if done.returncode:
            raise CommandFailed(
                f"Reading the kubeconfig of kind cluster {name}: `{' '.join(command)}` ended with {done.returncode}: "
                f"{tail(done.stderr)}",
                command=command,
                rc=done.returncode,
            )
        return done.stdout


def _environment(kubeconfig: Path, network: str) -> dict[str, str]:
    return {
        **{key: value for key, value in os.environ.items() if key != "KIND_CLUSTER_NAME"},
        "KUBECONFIG": str(kubeconfig),
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": network,
    }


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
