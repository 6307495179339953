# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Whose engine it is, and what to tell a user whose engine cannot be used."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import stat
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._host.engine import DAEMONS, DEFAULT_HOST, Engine

DEFAULT_HOSTS = (DEFAULT_HOST, "unix:///run/docker.sock")
RECORD = "/var/lib/drystone/engine.json"


@dataclass(frozen=True)
class Installation:
    """What lies on the disk of an engine, and the user who asks."""

    daemon: str = ""
    recorded: bool = False
    daemon_json: dict[str, t.Any] | None = None
    data_root_exists: bool = False
    has_apt: bool = False
    user: str = "root"
    in_docker_group: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing about the host: what, what was seen, what is needed, what to do."""

    what: str
    seen: str
    needed: str
    advice: str

    def line(self) -> str:
        """Say it in one line."""
        return f"{self.what}: {self.seen}; needed: {self.needed}. {self.advice}"


def read_installation(record: str = RECORD, root: str | Path = "/") -> Installation:
    """Read what an engine that does not run, or runs, has on this disk."""
    top = Path(root)
    try:
        text = (top / "etc/docker/daemon.json").read_text(encoding="utf-8")
        daemon_json = json.loads(text) if text.strip() else {}
    except FileNotFoundError:
        daemon_json = None
    except (OSError, ValueError):
        daemon_json = {}
    user = pwd.getpwuid(os.geteuid()).pw_name
    try:
        in_group = user in grp.getgrnam("docker").gr_mem
    except KeyError:
        in_group = False
    return Installation(
        daemon=next((name for name in DAEMONS if (top / name[1:]).exists()), ""),
        recorded=(top / record.lstrip("/")).exists(),
        daemon_json=daemon_json,
        data_root_exists=(top / "var/lib/docker").exists(),
        has_apt=shutil.which("apt-get") is not None,
        user=user,
        in_docker_group=in_group,
    )


def is_managed(engine: Engine, installation: Installation) -> bool:
    """Tell whether this engine may be installed and configured here.

    It may if it is on record as ours, if none is installed, or if the one installed has never been used: not running,
    without configuration and without a data root. Any other belongs to somebody and is used as it is.
    """
    if installation.recorded:
        return True
    if engine.state not in ("absent", "stopped") or engine.host not in DEFAULT_HOSTS:
        return False
    unused = installation.daemon_json is None and not installation.data_root_exists
    return not installation.daemon or unused


def engine_problem(engine: Engine, installation: Installation, may_install: bool) -> Finding | None:
    """Say why this engine can neither be used nor be brought up from here; None where it can."""
    what, needed = "Docker engine", "an engine that answers this user"
    user = installation.user
    if engine.state == "running":
        if engine.local:
            return None
        return Finding(
            what,
            f"the engine at {engine.host} is on another host",
            "an engine on this host, where the cluster's ports are to be",
            "Unset DOCKER_HOST, or choose a local one with: docker context use default",
        )
    if engine.state == "denied":
        again = "log in again, or go on in the shell that `newgrp docker` starts"
        advice = f"Run: sudo usermod -aG docker {user}; then {again}"
        if installation.in_docker_group:
            advice = f"{user} is in the group docker, but this session began before: {again}"
        return Finding(what, f"{user} may not open {describe_socket(engine.host)}", needed, advice)
    if engine.state == "broken":
        advice = "Look at `docker version` and at the engine's log (journalctl -u docker, or /var/log/docker.log)"
        return Finding(what, f"{engine.host}: {engine.reason}", needed, advice)
    if engine.host not in DEFAULT_HOSTS:
        advice = "Start it; or, to use this host's own engine, unset DOCKER_HOST or run: docker context use default"
        return Finding(what, f"Docker not reachable at {engine.host}: {engine.reason}", needed, advice)
    if not may_install:
        advice = "Start it, for example with: sudo service docker start"
        if not installation.daemon:
            advice = "Install Docker 20.10 or newer, for example with: sudo apt-get install docker.io"
        return Finding(what, f"Docker not reachable at {engine.host}: {engine.reason}", needed, advice)
    if not installation.daemon and not installation.has_apt:
        seen = "there is none, and this is no Debian or Ubuntu, whose package could be installed (no apt-get)"
        return Finding(what, seen, needed, "Install Docker 20.10 or newer as your distribution does, and start it")
    return None


def describe_socket(host: str) -> str:
    """Name the socket with its owner, group and mode."""
    path = host.removeprefix("unix://")
    try:
        found = os.stat(path)
        owner = f"{pwd.getpwuid(found.st_uid).pw_name}:{grp.getgrgid(found.st_gid).gr_name}"
    except (OSError, KeyError):
        return path
    return f"{path} ({owner}, mode {stat.S_IMODE(found.st_mode):04o})"
