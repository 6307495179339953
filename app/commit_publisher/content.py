# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content that git-sync has fetched: the commit that its link points to, and that commit's time."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
GIT_TIMEOUT = 15
BLOCK = 512  # bytes per unit of st_blocks, independent of the file system (stat(2))
# Git allows later times than a date can represent.
LATEST = 253402300799  # 9999-12-31T23:59:59Z

# Git reads only the repository: no configuration of the image or a user, no network. The repository belongs to
# git-sync's user, so Git needs safe.directory to accept it.
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}


class NothingYet(Exception):
    """There is no content yet: git-sync has not created its first link."""


class Unreadable(Exception):
    """The content exists, but its commit or time cannot be read."""


class TooLarge(Unreadable):
    """The content is larger than the volume may be."""


class Content:
    """The link that git-sync moves from one worktree to the next."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._times: dict[str, int] = {}

    def commit(self) -> str:
        """Return the commit that the link points to: git-sync names each worktree after its commit."""
        try:
            name = os.path.basename(os.readlink(self.link))
        except FileNotFoundError as error:
            raise NothingYet(f"{self.link} does not exist yet: git-sync has not finished its first sync") from error
        except OSError as error:
            raise Unreadable(f"cannot read {self.link} as git-sync's link: {error.strerror}") from error
        if not COMMIT.fullmatch(name):
            raise Unreadable(f"{self.link} points to {name!r}, which is not the name of a commit")
        return name

    def size(self) -> int:
        """Return the disk usage of Git's copy and all worktrees in bytes, as the kubelet counts a volume."""
        blocks: dict[int, int] = {}
        for folder, folders, files in os.walk(self.link.parent):
            for name in (*folders, *files):
                # git-sync may delete files meanwhile.
                with contextlib.suppress(FileNotFoundError):
                    found = os.lstat(os.path.join(folder, name))
                    blocks[found.st_ino] = found.st_blocks
        return sum(blocks.values()) * BLOCK

    def time(self, commit: str) -> int:
        """Return the time of a commit in seconds since 1970."""
        if commit not in self._times:
            self._times = {commit: self._read_time(commit)}
        return self._times[commit]

    def _read_time(self, commit: str) -> int:
        what = f"reading the time of commit {commit} in {self.link}"
        arguments = ["rev-list", "--no-commit-header", "--max-count=1", "--format=%ct", commit, "--"]
        try:
            done = subprocess.run(
                ["git", "-c", "safe.directory=*", "-C", str(self.link), *arguments],
                env={"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT},
                capture_output=True,
                text=True,
                errors="replace",
                timeout=GIT_TIMEOUT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unreadable(f"{what}: {error}") from error
        if done.returncode != 0 or not done.stdout.strip().isdecimal():
            raise Unreadable(f"{what}: git printed {(done.stderr or done.stdout).strip()!r}")
        return min(int(done.stdout), LATEST)


def without_credentials(repository: str) -> str:
    """Return a repository's URL without credentials; an SSH user name stays."""
    if "://" not in repository:
        return repository  # user@host:path and local paths cannot contain a password
    parts = urlsplit(repository)
    user, at, host = parts.netloc.rpartition("@")
    if parts.scheme.removeprefix("git+") != "ssh":
        user = at = ""
    user = user.partition(":")[0]
    return urlunsplit((parts.scheme, f"{user}{at if user else ''}{host}", parts.path, "", ""))
