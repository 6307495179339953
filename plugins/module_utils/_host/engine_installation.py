# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Determine who installed the engine, and explain why an engine is unusable."""

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
    """The files of an engine on this host, and the current user."""

    daemon: str = ""
    recorded: bool = False
    daemon_json: dict[str, t.Any] | None = None
    data_root_exists: bool = False
    has_apt: bool = False
    user: str = "root"
    in_docker_group: bool = False


@dataclass(frozen=True)
class Finding:
    """One finding about the host: the subject, the current value, the required value, the remedy."""

    what: str
    seen: str
    needed: str
    advice: str

    def line(self) -> str:
        """Return the finding as one line."""
        return f"{self.what}: {self.seen}; needed: {self.needed}. {self.advice}"


def read_installation(record: str = RECORD, root: str | Path = "/") -> Installation:
    """Read the files of an installed engine, whether it runs or not."""
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
    """Return whether Drystone may install and configure this engine.

    It may if it has recorded the engine as its own, if none is installed, or if the installed engine was never used: it
    does not run and has neither configuration nor a data root. Drystone uses any other engine without changing it.
    """
    if installation.recorded:
        return True
    if engine.state not in ("absent", "stopped") or engine.host not in DEFAULT_HOSTS:
        return False
    unused = installation.daemon_json is None and not installation.data_root_exists
    return not installation.daemon or unused


def engine_problem(engine: Engine, installation: Installation, may_install: bool) -> Finding | None:
    """Explain why Drystone can neither use nor start this engine; return None if it can."""
    what, needed = "Docker engine", "an engine that answers this user"
    user = installation.user
    if engine.state == "running":
        if engine.local:
            return None
        return Finding(
            what,
            f"the engine at {engine.host} is on another host",
            "an engine on this host, because the cluster publishes its ports here",
            "Unset DOCKER_HOST, or select the local engine with: docker context use default",
        )
    if engine.state == "denied":
        again = "log in again, or continue in the shell that `newgrp docker` starts"
        advice = f"Run: sudo usermod -aG docker {user}; then {again}"
        if installation.in_docker_group:
            advice = f"{user} is in the group docker, but this session started before that: {again}"
        return Finding(what, f"{user} may not open {describe_socket(engine.host)}", needed, advice)
    if engine.state == "broken":
        advice = "Check `docker version` and the engine's log (journalctl -u docker, or /var/log/docker.log)"
        return Finding(what, f"{engine.host}: {engine.reason}", needed, advice)
    if engine.host not in DEFAULT_HOSTS:
        advice = "Start it. To use this host's own engine instead, unset DOCKER_HOST or run: docker context use default"
        return Finding(what, f"Docker does not answer at {engine.host}: {engine.reason}", needed, advice)
    if not may_install:
        advice = "Start it, for example with: sudo service docker start"
        if not installation.daemon:
            advice = "Install Docker 20.10 or newer, for example with: sudo apt-get install docker.io"
        return Finding(what, f"Docker does not answer at {engine.host}: {engine.reason}", needed, advice)
    if not installation.daemon and not installation.has_apt:
        seen = "none is installed, and Drystone can install one only on Debian or Ubuntu (apt-get is missing)"
        return Finding(what, seen, needed, "Install Docker 20.10 or newer with your distribution's tools and start it")
    return None


def describe_socket(host: str) -> str:
    """Return the path of the socket with its owner, group and mode."""
    path = host.removeprefix("unix://")
    try:
        found = os.stat(path)
        owner = f"{pwd.getpwuid(found.st_uid).pw_name}:{grp.getgrgid(found.st_gid).gr_name}"
    except (OSError, KeyError):
        return path
    return f"{path} ({owner}, mode {stat.S_IMODE(found.st_mode):04o})"
