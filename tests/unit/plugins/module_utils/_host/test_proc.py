# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of /proc and /sys, read from trees that the tests write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._host.proc import CAPABILITIES, Listener, Proc

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def write(root: Path, path: str, text: str) -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def socket_row(address: str, port: int, inode: int, state: str = "0A") -> str:
    return f"   0: {address}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"


@pytest.mark.parametrize(
    ("bounding", "missing"),
    [
        ("000001ffffffffff", []),
        ("000001fffeffffff", ["CAP_SYS_RESOURCE"]),
        ("000000ffffffffff", ["CAP_CHECKPOINT_RESTORE"]),
    ],
)
def test_capabilities_withheld(tmp_path: Path, bounding: str, missing: list[str]) -> None:
    write(tmp_path, "/proc/1/stat", "1 (init) S 0")
    write(tmp_path, "/proc/self/status", f"Name:\tx\nCapEff:\t0\nCapBnd:\t{bounding}\n")
    write(tmp_path, "/proc/sys/kernel/cap_last_cap", "40\n")
    assert Proc(tmp_path).missing_capabilities() == missing


def test_a_service_of_systemd_has_what_systemd_has(tmp_path: Path) -> None:
    write(tmp_path, "/proc/1/stat", "1 (systemd) S 0")
    write(tmp_path, "/proc/1/status", "CapBnd:\t000001ffffffffff\n")
    write(tmp_path, "/proc/self/status", "CapBnd:\t0000000000000000\n")
    write(tmp_path, "/proc/sys/kernel/cap_last_cap", "40\n")
    assert Proc(tmp_path).missing_capabilities() == []


def test_a_kernel_with_fewer_or_more_capabilities_than_known(tmp_path: Path) -> None:
    write(tmp_path, "/proc/self/status", "CapBnd:\t0000003fffffffff\n")
    write(tmp_path, "/proc/sys/kernel/cap_last_cap", "37\n")
    assert Proc(tmp_path).missing_capabilities() == []
    write(tmp_path, "/proc/self/status", "CapBnd:\t000001ffffffffff\n")
    write(tmp_path, "/proc/sys/kernel/cap_last_cap", "41\n")
    assert Proc(tmp_path).missing_capabilities() == ["CAP_41"]
    assert len(CAPABILITIES) == 41


@pytest.mark.parametrize(
    ("limit_file", "limit", "seen"),
    [
        (None, "", (24576, 20480)),
        ("memory.max", "max", (24576, 20480)),
        ("memory.max", str(4096 * 2**20), (4096, 4096)),
        ("memory/memory.limit_in_bytes", "9223372036854771712", (24576, 20480)),
        ("memory/memory.limit_in_bytes", str(22528 * 2**20), (22528, 20480)),
    ],
)
def test_memory_within_the_cgroup_limit(
    tmp_path: Path, limit_file: str | None, limit: str, seen: tuple[int, int]
) -> None:
    write(
        tmp_path,
        "/proc/meminfo",
        f"MemTotal:       {24576 * 1024} kB\nMemFree: 1 kB\nMemAvailable:   {20480 * 1024} kB\n",
    )
    if limit_file:
        write(tmp_path, f"/sys/fs/cgroup/{limit_file}", limit)
    assert Proc(tmp_path).memory_mib() == seen


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000"}, 4),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
    ],
)
def test_cores_within_the_quota(tmp_path: Path, files: dict[str, str], cores: float) -> None:
    for name, text in files.items():
        write(tmp_path, f"/sys/fs/cgroup/{name}", text)
    assert Proc(tmp_path).cores(4) == cores


def test_control_groups_of_both_versions(tmp_path: Path) -> None:
    assert Proc(tmp_path).cgroup_version() == 0
    write(tmp_path, "/proc/cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t9\t1\nmemory\t0\t9\t0\n")
    assert Proc(tmp_path).cgroup_version() == 1
    assert Proc(tmp_path).cgroup_controllers() == {"cpu"}
    write(tmp_path, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu memory pids\n")
    assert Proc(tmp_path).cgroup_version() == 2
    assert Proc(tmp_path).cgroup_controllers() == {"cpuset", "cpu", "memory", "pids"}


@pytest.mark.parametrize(
    ("table", "address", "busy"),
    [
        ("tcp", "0100007F", True),
        ("tcp", "00000000", True),
        ("tcp", "0A01A8C0", False),
        ("tcp6", "0" * 32, True),
        ("tcp6", "0000000000000000FFFF00000100007F", True),
        ("tcp6", "B80D0120000000000000000001000000", False),
    ],
)
def test_a_listener_counts_where_a_bind_would_clash(tmp_path: Path, table: str, address: str, busy: bool) -> None:
    write(tmp_path, f"/proc/net/{table}", HEADER + socket_row(address, 8080, 77))
    assert (8080 in Proc(tmp_path).listeners({8080})) is busy


def test_a_listener_has_its_process(tmp_path: Path) -> None:
    rows = (
        socket_row("0100007F", 8080, 77) + socket_row("00000000", 22, 78) + socket_row("0100007F", 8443, 79, state="01")
    )
    write(tmp_path, "/proc/net/tcp", HEADER + rows)
    write(tmp_path, "/proc/42/stat", "42 (my (odd) name) S 1")
    write(tmp_path, "/proc/42/cmdline", "/usr/bin/odd\0--port\x008080\0")
    (tmp_path / "proc/42/fd").mkdir()
    os.symlink("/dev/null", tmp_path / "proc/42/fd/0")
    os.symlink("socket:[77]", tmp_path / "proc/42/fd/3")
    found = Proc(tmp_path).listeners({8080, 8443, 2222})
    assert found == {8080: Listener(8080, 42, "my (odd) name", "/usr/bin/odd --port 8080")}


def test_a_listener_that_may_not_be_seen_is_still_one(tmp_path: Path) -> None:
    write(tmp_path, "/proc/net/tcp", HEADER + socket_row("0100007F", 8080, 77))
    assert Proc(tmp_path).listeners({8080}) == {8080: Listener(8080)}


@pytest.mark.parametrize(
    ("stat", "program"), [("7 (dockerd) S 1", "dockerd"), ("7 (dockerd) Z 1", ""), ("7 (x) X 1", ""), ("", "")]
)
def test_a_zombie_is_no_process(tmp_path: Path, stat: str, program: str) -> None:
    write(tmp_path, "/proc/7/stat", stat)
    assert Proc(tmp_path).program(7) == program
