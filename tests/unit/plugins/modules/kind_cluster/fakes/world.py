# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the fake engine in a file that the fakes and the tests change under a lock.

Each fake command is a process, so its imports determine the duration of the tests.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import typing as t

KILL = 9


class World(dict[str, "t.Any"]):
    def __init__(self, path: str | None = None) -> None:
        super().__init__()
        self.path = path or os.environ["FAKE_WORLD"]

    def __enter__(self) -> t.Self:
        self.lock = open(self.path + ".lock", "w", encoding="utf-8")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.update(containers={}, networks={}, images={}, calls=[], pulled=[], serial=0)
        if os.path.exists(self.path):
            with open(self.path, "rb") as stream:
                self.update(marshal.load(stream))
        return self

    def __exit__(self, *_error: object) -> None:
        with open(self.path, "wb") as stream:
            marshal.dump(dict(self), stream)
        self.lock.close()

    def running(self) -> list[dict[str, t.Any]]:
        return [one for one in self["containers"].values() if one["State"]["Status"] == "running"]

    def new_id(self) -> str:
        self["serial"] += 1
        return f"{self['serial']:064x}"

    def add_network(self, name: str, labels: dict[str, str], options: dict[str, str] | None = None) -> str:
        one = self.new_id()
        self["networks"][one] = {"Id": one, "Name": name, "Labels": labels, "Options": options or {}}
        return one

    def add_node(
        self, cluster: str, name: str, node: dict[str, t.Any], api_port: int, network: str | None = None
    ) -> str:
        network = network or os.environ["KIND_EXPERIMENTAL_DOCKER_NETWORK"]
        network_id = next((one["Id"] for one in self["networks"].values() if one["Name"] == network), "")
        ports = {
            f"{one['containerPort']}/{one['protocol'].lower()}": [
                {"HostIp": one["listenAddress"], "HostPort": str(one["hostPort"])}
            ]
            for one in node.get("extraPortMappings", [])
        }
        if node["role"] == "control-plane":
            ports["6443/tcp"] = [{"HostIp": "127.0.0.1", "HostPort": str(api_port)}]
        mounts = [{"Type": "bind", "Source": "/lib/modules", "Destination": "/lib/modules", "RW": False}]
        mounts += [{"Type": "volume", "Source": "/var/lib/docker/volumes/x/_data", "Destination": "/var", "RW": True}]
        mounts += [
            {"Type": "bind", "Source": one["hostPath"], "Destination": one["containerPath"], "RW": not one["readOnly"]}
            for one in node.get("extraMounts", [])
        ]
        one = self.new_id()
        self["containers"][one] = {
            "Id": one,
            "Name": f"/{name}",
            "Created": "2026-11-01T10:00:00Z",
            "State": {"Status": "running"},
            "Image": self["images"].get(node["image"], ""),
            "Config": {
                "Image": node["image"],
                "Labels": {"io.x-k8s.kind.cluster": cluster, "io.x-k8s.kind.role": node["role"]},
            },
            "HostConfig": {"PortBindings": ports},
            "Mounts": mounts,
            "NetworkSettings": {"Networks": {network: {"NetworkID": network_id}}},
        }
        return one


def kubeconfig(name: str) -> str:
    """Return a kubeconfig like that of kind, as JSON, which is valid YAML."""
    import json

    me = f"kind-{name}"
    server = {"server": f"http://127.0.0.1:{os.environ['FAKE_API_PORT']}"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": me, "cluster": server}],
            "users": [{"name": me, "user": {"token": "fake"}}],
            "contexts": [{"name": me, "context": {"cluster": me, "user": me}}],
            "current-context": me,
        }
    )


def kill_parent_at(call: str, moment: str) -> None:
    """Kill the calling process if FAKE_KILL matches the moment and the beginning of the call."""
    wanted = os.environ.get("FAKE_KILL", "")
    if wanted and f"{moment} {call}".startswith(wanted):
        os.kill(os.getppid(), KILL)
        if os.environ.get("FAKE_KILL_ORPHAN") != "lives":
            sys.exit(137)


def fail(message: str, code: int = 1) -> t.NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)
