# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Check whether this host can run the cluster, and collect all findings before anything is created."""

from __future__ import annotations

import os
import re
import typing as t
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._command import Run
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient
from ansible_collections.drystone.platform.plugins.module_utils._host.engine import ANSWER_TIMEOUT, Engine
from ansible_collections.drystone.platform.plugins.module_utils._host.engine_installation import Finding
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Listener, Proc

MIN_API = "1.41"
MIN_FREE_INODES = 200_000
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")


@dataclass
class Report:
    """The findings: failures stop the run, warnings do not, notes describe unusual properties that Drystone handles."""

    failures: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_cores(report: Report, proc: Proc, minimum: float) -> None:
    """Check the number of cores."""
    cores = proc.cores(len(os.sched_getaffinity(0)))
    if cores < minimum:
        advice = (
            "Give this host (or the container that it runs in) more CPUs, or lower host_preflight_min_cores and expect "
            "a slow installation"
        )
        report.failures.append(Finding("CPU", f"{cores:g} cores", f"{minimum:g}", advice))


def check_memory(report: Report, proc: Proc, minimum: int, cluster_runs: bool) -> None:
    """Check the memory. Too little available memory is only a warning."""
    total, available = proc.memory_mib()
    needed = f"{minimum} MiB"
    if total < minimum:
        advice = "Give this host more memory, or lower host_preflight_min_memory_mib and expect evicted pods"
        report.failures.append(Finding("Memory", f"{total} MiB in total", needed, advice))
    elif available < minimum and not cluster_runs:
        seen = f"{available} MiB available of {total} MiB"
        report.warnings.append(Finding("Memory", seen, needed, "Stop programs that use much memory"))


def check_disk(report: Report, disk: t.Mapping[str, t.Any], statvfs: t.Callable[[str], os.statvfs_result]) -> None:
    """Check free space and inodes at a path. After the first run less space is sufficient."""
    path = Path(disk["path"])
    while not path.exists() and path != path.parent:
        path = path.parent
    found = statvfs(str(path))
    again = bool(disk.get("marker")) and Path(disk["marker"]).exists()
    needed = disk["min_free_again_mib"] if again else disk["min_free_mib"]
    free = found.f_bavail * found.f_frsize // 2**20
    what = f"Disk for {disk['purpose']} ({disk['path']})"
    if free < needed:
        advice = "Free space there, or choose another location"
        report.failures.append(Finding(what, f"{free} MiB free", f"{needed} MiB", advice))
    if found.f_files > 0 and found.f_favail < MIN_FREE_INODES:
        seen = f"{found.f_favail} inodes free"
        advice = "Delete directories with many small files there"
        report.failures.append(Finding(what, seen, f"{MIN_FREE_INODES}", advice))


def check_sysctls(
    report: Report, proc: Proc, sysctls: t.Iterable[t.Mapping[str, t.Any]], may_raise: bool
) -> list[dict[str, t.Any]]:
    """Return the kernel settings to raise. If raising them is not allowed, report them as failures."""
    low: list[dict[str, t.Any]] = []
    for sysctl in sysctls:
        name = sysctl["name"]
        seen = proc.number("/proc/sys/" + name.replace(".", "/"))
        if seen is None or seen >= sysctl["minimum"]:
            continue
        low.append({"name": name, "seen": seen, "value": sysctl["value"]})
        if not may_raise:
            line = f"{name}={sysctl['value']}"
            advice = f"Run: sudo sysctl -w {line} && echo {line} | sudo tee -a /etc/sysctl.d/90-drystone.conf"
            report.failures.append(Finding(f"Kernel setting {name}", str(seen), f"{sysctl['minimum']}", advice))
    return low if may_raise else []


def check_cgroups(report: Report, proc: Proc) -> None:
    """Check the control group controllers that a kubelet needs."""
    version = proc.cgroup_version()
    missing = [name for name in CONTROLLERS if name not in proc.cgroup_controllers()]
    if missing:
        advice = "Enable them (for memory: kernel parameters cgroup_enable=memory cgroup_memory=1) and reboot"
        seen = f"version {version or 'none'}, without {', '.join(missing)}"
        report.failures.append(Finding("Control groups", seen, ", ".join(CONTROLLERS), advice))
    elif version == 1:
        report.notes.append("The host uses cgroup v1. The cluster's kubelets are configured to accept it.")


def check_engine(report: Report, engine: Engine, problem: Finding | None, missing_capabilities: list[str]) -> None:
    """Check that kind can use the engine, or that Drystone can install or start one."""
    if problem:
        report.failures.append(problem)
    elif engine.state != "running":
        report.notes.append(f"No Docker engine answers at {engine.host}. Drystone will install or start one.")
    elif as_numbers(engine.api_version) < as_numbers(MIN_API):
        seen = f"version {engine.version}, API {engine.api_version}"
        advice = "Install Docker 20.10 or newer"
        report.failures.append(Finding("Docker engine", seen, f"API {MIN_API}", advice))
    elif engine.storage_driver == "vfs":
        advice = "Store its data on a file system that overlay2 supports, such as ext4 or xfs"
        report.warnings.append(Finding("Docker engine", "storage driver vfs copies every layer", "overlay2", advice))
    if missing_capabilities:
        names = ", ".join(missing_capabilities)
        report.notes.append(f"The host does not grant {names}. A compatible container runtime will be installed.")


def as_numbers(version: str) -> tuple[int, ...]:
    """Convert a version to a tuple that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def containers(run: Run) -> list[dict[str, t.Any]]:
    """Return name, labels and published host ports of the running containers."""
    found = []
    for container in DockerClient(run).running(ANSWER_TIMEOUT):
        labels = dict(label.partition("=")[::2] for label in container.get("Labels", "").split(","))
        ports: set[int] = set()
        for first, last in re.findall(r":(\d+)(?:-(\d+))?->", container.get("Ports", "")):
            ports.update(range(int(first), int(last or first) + 1))
        found.append(
            {"name": container["Names"], "image": container.get("Image", ""), "labels": labels, "ports": ports}
        )
    return found


def is_own(container: t.Mapping[str, t.Any], cluster: str, own_names: t.Collection[str]) -> bool:
    """Return whether a container is a node of this cluster or has one of the given names."""
    return container["labels"].get("io.x-k8s.kind.cluster") == cluster or container["name"] in own_names


def check_ports(
    report: Report,
    ports: t.Sequence[t.Mapping[str, t.Any]],
    listeners: t.Mapping[int, Listener],
    running: t.Sequence[t.Mapping[str, t.Any]],
    own: t.Callable[[t.Mapping[str, t.Any]], bool],
) -> None:
    """Check that each port is free or used by the cluster's own containers, and that no port has two purposes."""
    for port, times in Counter(entry["port"] for entry in ports).items():
        if times > 1:
            uses = " and ".join(entry["purpose"] for entry in ports if entry["port"] == port)
            advice = "Set a different port for each"
            report.failures.append(Finding(f"Port {port}", f"configured for {uses}", "one purpose", advice))
    for entry in ports:
        listener = listeners.get(entry["port"])
        if listener is None:
            continue
        holder = next((container for container in running if entry["port"] in container["ports"]), None)
        if holder is not None and own(holder):
            continue
        what = f"Port {entry['port']} on 127.0.0.1 ({entry['purpose']})"
        if holder is not None:
            seen = f"container {holder['name']} of image {holder['image']}"
            stop = f"Stop it with docker stop {holder['name']}"
        elif listener.pid:
            seen = f"pid {listener.pid}, {(listener.command or listener.program)[:120]}"
            stop = f"Stop it with kill {listener.pid}"
        else:
            seen = "a process that this user cannot see"
            stop = f"Find it with sudo ss -ltnp 'sport = :{entry['port']}' and stop it"
        advice = f"{stop}, or set another port in {entry['variable']}"
        report.failures.append(Finding(what, f"held by {seen}", "a free port", advice))
