# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings for fictitious hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._command import Result
from ansible_collections.drystone.platform.plugins.module_utils._host import checks as subject
from ansible_collections.drystone.platform.plugins.module_utils._host.engine import Engine
from ansible_collections.drystone.platform.plugins.module_utils._host.engine_installation import Finding
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Listener, Proc

SOCKET = "unix:///var/run/docker.sock"


def write(root: Path, path: str, text: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def only(report: subject.Report) -> str:
    assert len(report.failures) == 1
    return report.failures[0].line()


def test_cores(tmp_path: Path) -> None:
    report = subject.Report()
    subject.check_cores(report, Proc(tmp_path), 1)
    assert report.failures == []
    subject.check_cores(report, Proc(tmp_path), 4096)
    assert only(report).startswith(f"CPU: {len(os.sched_getaffinity(0))} cores; needed: 4096.")


@pytest.mark.parametrize(
    ("total", "available", "runs", "failures", "warnings"),
    [(8192, 8000, False, 0, 0), (4096, 4000, False, 1, 0), (8192, 2000, False, 0, 1), (8192, 2000, True, 0, 0)],
)
def test_memory(tmp_path: Path, total: int, available: int, runs: bool, failures: int, warnings: int) -> None:
    write(tmp_path, "/proc/meminfo", f"MemTotal: {total * 1024} kB\nMemAvailable: {available * 1024} kB\n")
    report = subject.Report()
    subject.check_memory(report, Proc(tmp_path), 6144, runs)
    assert (len(report.failures), len(report.warnings)) == (failures, warnings)


def disk_with(free_mib: int, inodes: int = 10**7, files: int = 10**8) -> Callable[[str], os.statvfs_result]:
    found = SimpleNamespace(f_bavail=free_mib, f_frsize=2**20, f_files=files, f_favail=inodes)
    return lambda _path: cast("os.statvfs_result", found)


def test_disk_needs_less_once_its_content_is_made(tmp_path: Path) -> None:
    disk = {
        "path": str(tmp_path / "not/there/yet"),
        "purpose": "images",
        "min_free_mib": 1000,
        "min_free_again_mib": 10,
        "marker": str(tmp_path / "made"),
    }
    report = subject.Report()
    subject.check_disk(report, disk, disk_with(500))
    assert only(report) == (
        f"Disk for images ({tmp_path}/not/there/yet): 500 MiB free; needed: 1000 MiB. "
        "Free space there, or choose another location"
    )
    (tmp_path / "made").touch()
    again = subject.Report()
    subject.check_disk(again, disk, disk_with(500))
    assert again.failures == []


def test_disk_is_looked_at_where_it_will_be(tmp_path: Path) -> None:
    asked = []

    def statvfs(path: str) -> os.statvfs_result:
        asked.append(path)
        return disk_with(5000)(path)

    disk = {"path": str(tmp_path / "a/b"), "purpose": "x", "min_free_mib": 1, "min_free_again_mib": 1}
    subject.check_disk(subject.Report(), disk, statvfs)
    assert asked == [str(tmp_path)]


@pytest.mark.parametrize(("inodes", "files", "failures"), [(100, 10**8, 1), (0, 0, 0)])
def test_inodes_count_where_the_file_system_counts_them(inodes: int, files: int, failures: int) -> None:
    report = subject.Report()
    disk = {"path": "/", "purpose": "x", "min_free_mib": 1, "min_free_again_mib": 1}
    subject.check_disk(report, disk, disk_with(5000, inodes, files))
    assert len(report.failures) == failures


SYSCTLS = [{"name": "fs.inotify.max_user_instances", "minimum": 512, "value": 1024}]


def test_low_settings_are_raised_where_allowed_and_failures_with_the_line_where_not(tmp_path: Path) -> None:
    write(tmp_path, "/proc/sys/fs/inotify/max_user_instances", "128\n")
    report = subject.Report()
    raised = subject.check_sysctls(report, Proc(tmp_path), SYSCTLS, may_raise=True)
    assert raised == [{"name": "fs.inotify.max_user_instances", "seen": 128, "value": 1024}]
    assert report.failures == []
    assert subject.check_sysctls(report, Proc(tmp_path), SYSCTLS, may_raise=False) == []
    assert "sudo sysctl -w fs.inotify.max_user_instances=1024" in only(report)


@pytest.mark.parametrize("seen", ["512", "8192", None])
def test_settings_that_will_do_are_left(tmp_path: Path, seen: str | None) -> None:
    if seen:
        write(tmp_path, "/proc/sys/fs/inotify/max_user_instances", seen)
    report = subject.Report()
    assert subject.check_sysctls(report, Proc(tmp_path), SYSCTLS, may_raise=True) == []
    assert report.failures == []


def test_control_groups(tmp_path: Path) -> None:
    write(tmp_path, "/proc/cgroups", "".join(f"{name}\t1\t9\t1\n" for name in ("cpu", "cpuset", "memory", "pids")))
    report = subject.Report()
    subject.check_cgroups(report, Proc(tmp_path))
    assert report.failures == []
    assert "cgroup v1" in report.notes[0]
    write(tmp_path, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu pids")
    subject.check_cgroups(report, Proc(tmp_path))
    assert "version 2, without memory" in only(report)
    assert "cgroup_enable=memory" in only(report)


@pytest.mark.parametrize(
    ("engine", "failures", "warnings", "notes"),
    [
        (Engine("running", SOCKET, api_version="1.41"), 0, 0, 0),
        (Engine("running", SOCKET, api_version="1.9"), 1, 0, 0),
        (Engine("running", SOCKET, api_version="1.48", storage_driver="vfs"), 0, 1, 0),
        (Engine("stopped", SOCKET), 0, 0, 1),
    ],
)
def test_engines(engine: Engine, failures: int, warnings: int, notes: int) -> None:
    report = subject.Report()
    subject.check_engine(report, engine, None, [])
    assert (len(report.failures), len(report.warnings), len(report.notes)) == (failures, warnings, notes)


def test_an_engine_s_problem_is_a_failure_and_missing_capabilities_are_a_note() -> None:
    report = subject.Report()
    problem = Finding("Docker engine", "dead", "one that answers", "Start it")
    subject.check_engine(report, Engine("broken", SOCKET), problem, ["CAP_SYS_RESOURCE"])
    assert report.failures == [problem]
    assert "CAP_SYS_RESOURCE" in report.notes[0]


def listed(**fields: str) -> str:
    return json.dumps({"Names": "n", "Image": "i", "Labels": "", "Ports": "", **fields})


def test_containers_are_read_with_labels_and_ports() -> None:
    lines = "\n".join(
        [
            listed(Names="dev-control-plane", Labels="io.x-k8s.kind.cluster=dev,io.x-k8s.kind.role=control-plane"),
            listed(
                Names="web", Ports="127.0.0.1:8080->80/tcp, 0.0.0.0:9000-9002->9000-9002/tcp, :::53->53/udp, 443/tcp"
            ),
        ]
    )
    nodes, web = subject.containers(lambda *_: Result(0, lines))
    assert nodes["labels"]["io.x-k8s.kind.cluster"] == "dev"
    assert web["ports"] == {8080, 9000, 9001, 9002, 53}
    assert subject.containers(lambda *_: Result(1)) == []
    assert subject.is_own(nodes, "dev", [])
    assert not subject.is_own(nodes, "prod", [])
    assert subject.is_own(web, "dev", ["web"])


PORT = {"port": 8080, "purpose": "HTTP", "variable": "drystone_http_port"}
WEB: dict[str, Any] = {"name": "web", "image": "nginx", "labels": {}, "ports": {8080}}


@pytest.mark.parametrize(
    ("listener", "containers", "own", "told"),
    [
        (None, [], False, None),
        (
            Listener(8080, 42, "nginx", "nginx: master"),
            [],
            False,
            "held by pid 42, nginx: master; needed: a free port. Stop it with kill 42",
        ),
        (Listener(8080, 42, "docker-proxy", "docker-proxy"), [WEB], False, "held by container web of image nginx"),
        (Listener(8080, 42, "docker-proxy", "docker-proxy"), [WEB], True, None),
        (Listener(8080), [], False, "a process that this user cannot see"),
    ],
)
def test_ports(listener: Listener | None, containers: list[dict[str, Any]], own: bool, told: str | None) -> None:
    report = subject.Report()
    subject.check_ports(report, [PORT], {8080: listener} if listener else {}, containers, lambda _container: own)
    if told is None:
        assert report.failures == []
    else:
        assert told in only(report)
        assert only(report).endswith("or set another port in drystone_http_port")


def test_one_port_for_two_purposes() -> None:
    report = subject.Report()
    subject.check_ports(report, [PORT, {**PORT, "purpose": "HTTPS"}], {}, [], lambda _container: False)
    assert (
        only(report) == "Port 8080: configured for HTTP and HTTPS; needed: one purpose. Set a different port for each"
    )
