# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Read properties of the host from /proc and /sys; their root is a parameter for tests."""

from __future__ import annotations

import os
import re
import typing as t
from dataclasses import dataclass
from pathlib import Path

# The index is the kernel's number of the capability.
# fmt: off
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)
# fmt: on
LISTEN = "0A"
# Addresses in the format of /proc/net/tcp and tcp6: all addresses, 127.0.0.1, ::1 and ::ffff:127.0.0.1
LOOPBACK_OR_ANY = frozenset(
    {
        "00000000",
        "0100007F",
        "0" * 32,
        "0" * 24 + "01000000",
        "0000000000000000FFFF00000100007F",
        "0000000000000000FFFF000000000000",
    }
)


@dataclass(frozen=True)
class Listener:
    """The process that listens on a port; pid is 0 if only root may see it."""

    port: int
    pid: int = 0
    program: str = ""
    command: str = ""


class Proc:
    """Read-only access to /proc and /sys."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(root)

    def text(self, path: str) -> str:
        """Return the text of a file; empty if it does not exist or is not readable."""
        try:
            return (self.root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def number(self, path: str) -> int | None:
        """Return the only number in a file; None if there is none, for example "max"."""
        text = self.text(path).strip()
        return int(text) if re.fullmatch(r"-?\d+", text) else None

    def program(self, pid: int) -> str:
        """Return the name of a running process's program; empty if the process is gone or a zombie."""
        stat = self.text(f"/proc/{pid}/stat")
        name, _dummy, rest = stat.partition("(")[2].rpartition(")")
        return "" if rest.split()[:1] in (["Z"], ["X"]) else name

    def init_is_systemd(self) -> bool:
        """Return whether systemd manages the services of this host."""
        return self.program(1) == "systemd"

    def missing_capabilities(self) -> list[str]:
        """Return the capabilities that the kernel knows but that services of this host cannot have."""
        pid = "1" if self.init_is_systemd() else "self"
        found = re.search(r"^CapBnd:\s*([0-9a-fA-F]+)$", self.text(f"/proc/{pid}/status"), re.MULTILINE)
        last = self.number("/proc/sys/kernel/cap_last_cap")
        if found is None or last is None:
            return []
        bounding = int(found[1], 16)
        return [
            CAPABILITIES[number] if number < len(CAPABILITIES) else f"CAP_{number}"
            for number in range(last + 1)
            if not bounding >> number & 1
        ]

    def memory_mib(self) -> tuple[int, int]:
        """Return total and available memory in MiB, within the limit of the outermost visible cgroup."""
        fields = dict(re.findall(r"^(\w+):\s*(\d+) kB", self.text("/proc/meminfo"), re.MULTILINE))
        total, available = int(fields.get("MemTotal", 0)) // 1024, int(fields.get("MemAvailable", 0)) // 1024
        limits = (
            self.number(path) for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        )
        for limit in limits:
            if limit is not None and 0 < limit // 2**20 < total:
                total, available = limit // 2**20, min(available, limit // 2**20)
        return total, available

    def cores(self, affinity: int) -> float:
        """Return the number of usable cores: the affinity, or the quota of the outermost visible cgroup if lower."""
        quota, period = [*self.text("/sys/fs/cgroup/cpu.max").split(), "max", "max"][:2]
        if not quota.isdigit():
            quota = str(self.number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or "")
            period = str(self.number("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or "")
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            return min(float(affinity), int(quota) / int(period))
        return float(affinity)

    def cgroup_version(self) -> int:
        """Return 2 for the unified hierarchy, 1 for the legacy or hybrid ones, 0 for none."""
        if (self.root / "sys/fs/cgroup/cgroup.controllers").exists():
            return 2
        return 1 if self.text("/proc/cgroups") else 0

    def cgroup_controllers(self) -> set[str]:
        """Return the controllers that the kernel offers in either version."""
        if self.cgroup_version() == 2:
            return set(self.text("/sys/fs/cgroup/cgroup.controllers").split())
        rows = [line.split() for line in self.text("/proc/cgroups").splitlines() if not line.startswith("#")]
        return {row[0] for row in rows if len(row) == 4 and row[3] == "1"}

    def listeners(self, ports: t.Collection[int]) -> dict[int, Listener]:
        """Return the listeners on these ports that would conflict with a bind to 127.0.0.1."""
        inodes: dict[str, int] = {}
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in self.text(table).splitlines()[1:]:
                columns = line.split()
                address, _dummy, digits = columns[1].partition(":")
                if columns[3] == LISTEN and int(digits, 16) in ports and address in LOOPBACK_OR_ANY:
                    inodes.setdefault(columns[9], int(digits, 16))
        found = {port: Listener(port) for port in inodes.values()}
        if inodes:
            for pid, inode in self._sockets():
                if inode in inodes and not found[inodes[inode]].pid:
                    port = inodes[inode]
                    command = " ".join(self.text(f"/proc/{pid}/cmdline").split("\0")).strip()
                    found[port] = Listener(port, pid, self.program(pid), command)
        return found

    def _sockets(self) -> t.Iterator[tuple[int, str]]:
        for process in sorted((self.root / "proc").glob("[0-9]*")):
            try:
                links = [os.readlink(link) for link in (process / "fd").iterdir()]
            except OSError:
                continue
            for link in links:
                if link.startswith("socket:["):
                    yield int(process.name), link[8:-1]
