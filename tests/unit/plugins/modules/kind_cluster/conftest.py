# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with fake docker and kind programs on PATH and a real HTTP server instead of the API server."""

from __future__ import annotations

import copy
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args

from ansible_collections.drystone.platform.plugins.modules import kind_cluster
from tests.unit.plugins.modules.kind_cluster.fakes.world import World

ROOT = Path(__file__).parents[5]

IMAGE = "drystone.local/node:v1.0.0"
NAME = "demo"
POOL = "drystone.dev/pool"
WORKER_LABEL = "node-role.kubernetes.io/worker"

_MODULE = """
import json, sys
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.drystone.platform.plugins.modules import kind_cluster
with patch_module_args(json.load(sys.stdin)):
    kind_cluster.main()
"""


class Host:
    """A host with its engine, on which tests run the module."""

    def __init__(self, directory: Path, api_port: int) -> None:
        self.directory = directory
        self.world_path = str(directory / "world")
        self.state_dir = directory / "state" / NAME
        self.kubeconfig = self.state_dir / "kubeconfig"
        # Two ports for each process, because tests may run in several processes.
        self.port = 20000 + os.getpid() * 2 % 20000
        self.api_port = api_port
        self.params: dict[str, t.Any] = {
            "name": NAME,
            "image": IMAGE,
            "api_port": self.port,
            "kubeconfig": str(self.kubeconfig),
            "state_dir": str(self.state_dir),
            "api_timeout": 5,
            "lock_timeout": 0,
            "prefetch_timeout": 5,
            "nodes": [
                {"role": "control-plane"},
                {"role": "worker", "labels": {WORKER_LABEL: "", POOL: "apps"}},
                {
                    "role": "worker",
                    "labels": {WORKER_LABEL: "", POOL: "platform"},
                    "taints": [{"key": POOL, "value": "platform", "effect": "PreferNoSchedule"}],
                },
            ],
        }

    def world(self) -> World:
        return World(self.world_path)

    def read(self) -> dict[str, t.Any]:
        with self.world() as world:
            return copy.deepcopy(dict(world))

    def calls(self, *beginning: str) -> list[list[str]]:
        return [call for call in self.read()["calls"] if call[: len(beginning)] == list(beginning)]

    def writes(self) -> list[str]:
        """Return all calls that change something."""
        changing = (
            *("docker container rm", "docker container start", "docker container unpause"),
            *("docker network create", "docker network rm", "kind create"),
        )
        return [" ".join(call) for call in self.read()["calls"] if " ".join(call).startswith(changing)]

    def containers(self) -> dict[str, str]:
        return {one["Name"][1:]: one["State"]["Status"] for one in self.read()["containers"].values()}

    def set_status(self, status: str, *names: str) -> None:
        with self.world() as world:
            for one in world["containers"].values():
                if one["Name"][1:] in names:
                    one["State"]["Status"] = status

    def remove_container(self, name: str) -> None:
        with self.world() as world:
            world["containers"] = {k: v for k, v in world["containers"].items() if v["Name"] != f"/{name}"}

    def foreign_node(self, name: str, **node: t.Any) -> None:
        with self.world() as world:
            world.add_node(NAME, name, {"role": "control-plane", "image": "kindest/node:v1", **node}, 1, "kind")

    def node(self, name: str) -> dict[str, t.Any]:
        return next(one for one in self.read()["nodes"].values() if one["metadata"]["name"] == name)

    def labels(self, name: str) -> dict[str, str]:
        labels: dict[str, str] = self.node(name)["metadata"]["labels"]
        return labels

    def run(self, check: bool = False, **changes: t.Any) -> dict[str, t.Any]:
        """Run the module in this process. Return its result, with failed set after a failure."""
        with self.world() as world:
            world["calls"] = []
        params = {**self.params, **changes, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args({key: value for key, value in params.items() if value is not None}):
            try:
                kind_cluster.main()
            except Exit as done:
                return done.result
        raise AssertionError("the module ended without a result")

    def absent(self, check: bool = False, **changes: t.Any) -> dict[str, t.Any]:
        return self.run(check, state="absent", image=None, nodes=None, api_port=None, **changes)

    def network(self, check: bool = False, **changes: t.Any) -> dict[str, t.Any]:
        return self.run(check, state="network", image=None, nodes=None, api_port=None, **changes)

    def started(self, check: bool = False, **changes: t.Any) -> dict[str, t.Any]:
        return self.run(check, state="started", image=None, nodes=None, api_port=None, **changes)

    def start(self, environment: dict[str, str] | None = None, **changes: t.Any) -> subprocess.Popen[str]:
        """Start the module in a separate process, which the test kills."""
        process = subprocess.Popen(
            [sys.executable, "-c", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(environment or {})},
        )
        assert process.stdin
        process.stdin.write(json.dumps({**self.params, **changes}))
        process.stdin.close()
        process.stdin = None
        return process

    def run_killed(self, at: str, **changes: t.Any) -> None:
        """Run the module until it is killed."""
        process = self.start({"FAKE_KILL": at}, **changes)
        _out, error = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGKILL, error


class Exit(Exception):
    def __init__(self, result: dict[str, t.Any]) -> None:
        super().__init__(str(result))
        self.result = result


class ApiHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    host: Host

    def do_GET(self) -> None:
        if self.path == "/api/v1":
            self.answer(200, {"resources": [{"kind": "Node", "name": "nodes", "namespaced": False}]})
            return
        with self.host.world() as world:
            world["api_calls"] = world.get("api_calls", 0) + 1
            hidden = world.get("unregistered", [])
            nodes = [one for one in self.nodes(world) if one["metadata"]["name"] not in hidden]
        self.answer(200, {"metadata": {"resourceVersion": "1"}, "items": nodes})

    def do_PATCH(self) -> None:
        patch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.split("?")[0].rpartition("/")[2]
        with self.host.world() as world:
            node = next(one for one in self.nodes(world) if one["metadata"]["name"] == name)
            if world.get("races", 0):
                # Another process is faster.
                world["races"] -= 1
                node["metadata"]["resourceVersion"] = str(int(node["metadata"]["resourceVersion"]) + 1)
                node["metadata"]["labels"]["raced"] = "yes"
            if patch["metadata"].pop("resourceVersion") != node["metadata"]["resourceVersion"]:
                self.answer(409, {"kind": "Status", "reason": "Conflict", "message": "the object has been modified"})
                return
            merge(node, patch)
            node["metadata"]["resourceVersion"] = str(int(node["metadata"]["resourceVersion"]) + 1)
            world["patches"] = [*world.get("patches", []), [name, patch]]
        self.answer(200, node)

    @staticmethod
    def nodes(world: World) -> list[dict[str, t.Any]]:
        known = world.setdefault("nodes", {})
        for gone in known.keys() - world["containers"].keys():
            del known[gone]
        for key, one in world["containers"].items():
            name = one["Name"][1:]
            taint = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
            control_plane = one["Config"]["Labels"]["io.x-k8s.kind.role"] == "control-plane"
            metadata = {"name": name, "resourceVersion": "1", "labels": {"kubernetes.io/hostname": name}}
            known.setdefault(key, {"metadata": metadata, "spec": {"taints": [taint]} if control_plane else {}})
        return list(known.values())

    def answer(self, status: int, body: dict[str, t.Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002 - its name is inherited
        pass


def merge(target: dict[str, t.Any], patch: dict[str, t.Any]) -> None:
    """Apply a JSON merge patch (RFC 7386)."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Host]:
    class Handler(ApiHandler):
        pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made = Host(tmp_path, server.server_address[1])
    Handler.host = made
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("docker", "kind"):
        package = f"tests.unit.plugins.modules.kind_cluster.fakes.{name}"
        lines = [
            "import sys",
            f"sys.path.insert(0, {str(ROOT)!r})",
            f"from {package} import main",
            "main(sys.argv[1:])",
        ]
        (programs / name).write_text("\n".join([f"#!{sys.executable} -SE", *lines, ""]), encoding="utf-8")
        (programs / name).chmod(0o755)
    with made.world() as world:
        world["images"][IMAGE] = "sha256:1"
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_WORLD", made.world_path)
    monkeypatch.setenv("FAKE_API_PORT", str(made.api_port))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Neither variable may have an effect.
    monkeypatch.setenv("KUBECONFIG", "/nonexistent/decoy")
    monkeypatch.setenv("KIND_CLUSTER_NAME", "decoy")

    def leave(_module: t.Any, failed: bool, **result: t.Any) -> t.NoReturn:
        raise Exit({"failed": failed, **json.loads(json.dumps(result))})

    monkeypatch.setattr(basic.AnsibleModule, "exit_json", lambda self, **kw: leave(self, False, **kw))
    monkeypatch.setattr(basic.AnsibleModule, "fail_json", lambda self, **kw: leave(self, True, **kw))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def cluster(host: Host) -> Host:
    """Return a host whose cluster matches its description."""
    result = host.run()
    assert not result["failed"], result
    return host
