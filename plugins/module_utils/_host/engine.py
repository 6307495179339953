# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Read the state of the Docker engine, and test whether it can run the privileged containers that kind needs."""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, Result, Run
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Proc

DEFAULT_HOST = "unix:///var/run/docker.sock"
DAEMONS = ("/usr/sbin/dockerd", "/usr/bin/dockerd", "/usr/local/bin/dockerd", "/usr/local/sbin/dockerd")
PID_FILES = {
    "/run/docker.pid": "dockerd",
    "/run/docker-ssd.pid": "dockerd",
    "/run/docker/containerd/containerd.pid": "containerd",
}
LOG_FILE = "/var/log/docker.log"
ANSWER_TIMEOUT = 10.0
PROBE_TIMEOUT = 60.0
PROBE_NAME = "drystone-privileged-probe"


@dataclass
class Engine:
    """The engine; state is running, stopped, denied (socket not accessible), absent (no client) or broken."""

    state: str
    host: str
    reason: str = ""
    version: str = ""
    api_version: str = ""
    data_root: str = "/var/lib/docker"
    storage_driver: str = ""
    cgroup_version: str = ""
    default_runtime: str = ""
    rootless: bool = False
    containers: int = 0
    runtimes: list[str] = field(default_factory=list)

    @property
    def local(self) -> bool:
        """Return whether the engine is on this host, because kind publishes ports on the engine's host."""
        return self.host.startswith("unix://")


def _endpoint(docker: DockerClient, environ: t.Mapping[str, str]) -> str:
    if environ.get("DOCKER_HOST"):
        return environ["DOCKER_HOST"]
    shown = docker.ask("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return shown.stdout.strip() if shown.rc == 0 and shown.stdout.strip() else DEFAULT_HOST


def _state(result: Result) -> str:
    said = result.stderr.lower()
    if result.rc == NOT_FOUND:
        return "absent"
    if "permission denied" in said:
        return "denied"
    if "cannot connect" in said or "is the docker daemon running" in said or "connection refused" in said:
        return "stopped"
    return "broken"


def read_engine(run: Run, environ: t.Mapping[str, str]) -> Engine:
    """Read the state of the engine that the docker client would use. Change nothing."""
    docker = DockerClient(run, timeout=ANSWER_TIMEOUT)
    asked = docker.ask("version", "--format", "{{json .Server}}")
    if asked.rc == NOT_FOUND:
        return Engine("absent", environ.get("DOCKER_HOST") or DEFAULT_HOST, "there is no docker client on PATH")
    host = _endpoint(docker, environ)
    if asked.rc != 0:
        return Engine(_state(asked), host, asked.reason)
    told = docker.ask("info", "--format", "{{json .}}")
    if told.rc != 0:
        return Engine(_state(told), host, told.reason)
    try:
        server, info = json.loads(asked.stdout), json.loads(told.stdout)
    except ValueError:
        return Engine("broken", host, f"docker version returned {asked.stdout.strip()[:200]!r}, which is not JSON")
    return Engine(
        "running",
        host,
        version=server.get("Version", ""),
        api_version=server.get("ApiVersion", ""),
        data_root=info.get("DockerRootDir") or "/var/lib/docker",
        storage_driver=info.get("Driver", ""),
        cgroup_version=str(info.get("CgroupVersion", "")),
        default_runtime=info.get("DefaultRuntime", ""),
        rootless=any("rootless" in option for option in info.get("SecurityOptions") or []),
        containers=info.get("Containers", 0),
        runtimes=sorted(info.get("Runtimes") or {}),
    )


def wait_for_engine(
    read: t.Callable[[], Engine],
    timeout: float,
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Engine:
    """Read the state until the engine runs or the timeout ends. Do not wait for a denied socket or a missing client."""
    deadline = clock() + timeout
    while True:
        engine = read()
        if engine.state in ("running", "denied", "absent") or clock() >= deadline:
            return engine
        sleep(0.5)


def probe_privileged(run: Run) -> str:
    """Return why a privileged container cannot start; empty if it can.

    An empty image is sufficient: after the runtime has set the capabilities and limits, it does not find the program.
    This error is the expected result. Remove image and container afterwards.
    """
    docker = DockerClient(run, timeout=PROBE_TIMEOUT)
    image = f"drystone.local/privileged-probe:{os.getpid()}"
    name = f"{PROBE_NAME}-{os.getpid()}"
    with tempfile.TemporaryDirectory(prefix="drystone-") as directory:
        archive = Path(directory, "empty.tar")
        tarfile.open(archive, "w").close()
        imported = docker.ask("import", str(archive), image)
    if imported.rc != 0:
        return f"docker import of an empty image: {imported.reason}"
    try:
        ran = docker.ask("run", "--name", name, "--privileged", "--network", "none", image, "/no-such-program")
    finally:
        docker.ask("rm", "--force", name)
        docker.ask("rmi", "--force", image)
    if "no such file or directory" in ran.stderr and "/no-such-program" in ran.stderr:
        return ""
    return ran.reason.partition(" Run 'docker run --help'")[0]


def stale_pid_files(proc: Proc, files: t.Mapping[str, str] | None = None) -> list[str]:
    """Return pid files that a crash left: their process is gone, is a zombie or is another program."""
    stale = []
    for name, program in (PID_FILES if files is None else files).items():
        try:
            pid = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if not pid.isdigit() or proc.program(int(pid)) != program:
            stale.append(name)
    return stale


def log_tail(run: Run, path: str = LOG_FILE, lines: int = 15) -> str:
    """Return the last lines of the engine's log, from its log file or from the journal."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = run(["journalctl", "--unit", "docker", "--no-pager", "--lines", str(lines)], ANSWER_TIMEOUT).stdout
    return "\n".join(text.splitlines()[-lines:])
