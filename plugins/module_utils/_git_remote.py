# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The git command line against one remote, cut off from the user's own Git. PRIVATE to the collection.

No agent, no configuration of user or system, no prompt, no credential helper, and no host key but those in one file.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
import typing as t
from dataclasses import dataclass
from functools import partial

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput

TRAILER = "Drystone-Content"
_NAME = "Drystone"
_EMAIL = "drystone@localhost"
_NOT_YET = (
    "Connection refused",
    "Connection closed by",
    "Connection reset by",
    "Connection timed out",
    "No route to host",
)
# What git adds to every failure of the transport.
_CHATTER = ("Please make sure you have the correct access rights", "and the repository exists.")
_HINTS = (
    ("Host key verification failed", "The server's host key is not the one in {known_hosts}."),
    ("Permission denied (publickey)", "The server does not accept the key {private_key}."),
    ("Connection refused", "Nothing listens there: is the Git server running, and its port mapped?"),
    ("timed out", "Nothing answered there in time."),
    ("Repository not found", "Is the path right?"),
    ("does not appear to be a git repository", "Is the path right?"),
)


@dataclass(frozen=True)
class Remote:
    """One repository and the only credentials that are used for it."""

    url: str
    branch: str = "main"
    private_key: str | None = None
    known_hosts: str | None = None
    timeout: int = 60
    connect_timeout: int = 0

    def environment(self, directory: str) -> dict[str, str]:
        """Say what git gets to see of the world."""
        ssh = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"]
        ssh += ["-o", "PasswordAuthentication=no", "-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"]
        ssh += ["-o", f"UserKnownHostsFile={self.known_hosts or '/dev/null'}", "-o", "GlobalKnownHostsFile=/dev/null"]
        ssh += ["-o", f"ConnectTimeout={min(self.timeout, 10)}", "-o", "ServerAliveInterval=10"]
        if self.private_key:
            ssh += ["-i", self.private_key]
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": directory,
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": shlex.join(ssh),
            "GIT_AUTHOR_NAME": _NAME,
            "GIT_AUTHOR_EMAIL": _EMAIL,
            "GIT_COMMITTER_NAME": _NAME,
            "GIT_COMMITTER_EMAIL": _EMAIL,
        }


class Git:
    """A private bare repository in a directory, and its remote."""

    def __init__(
        self,
        remote: Remote,
        directory: str,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.remote = remote
        self.directory = directory
        self._clock = clock
        self._sleep = sleep
        self._environment = remote.environment(directory)
        for name, path in (("private key", remote.private_key), ("known_hosts file", remote.known_hosts)):
            if path and not os.path.isfile(path):
                raise InvalidInput(f"The {name} {path} for {remote.url} does not exist.")
        self.run("init", "--quiet", "--bare", doing="Preparing a temporary repository")

    def run(
        self,
        *arguments: str,
        doing: str,
        text: str | None = None,
        work_tree: str | None = None,
        index: str | None = None,
        accept: tuple[int, ...] = (0,),
    ) -> str:
        """Run git and return what it printed; CommandFailed says what was being done."""
        environment = dict(self._environment, GIT_DIR=self.directory)
        if work_tree:
            environment["GIT_WORK_TREE"] = work_tree
        if index:
            environment["GIT_INDEX_FILE"] = os.path.join(self.directory, index)
        command = ["git", "-c", "core.autocrlf=false", "-c", "gc.auto=0", "-c", "protocol.ext.allow=never", *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=work_tree or self.directory,
                env=environment,
                input=text,
                stdin=None if text is not None else subprocess.DEVNULL,
                capture_output=True,
                check=False,
                encoding="utf-8",
                errors="replace",
                timeout=self.remote.timeout,
            )
        except FileNotFoundError as error:
            raise CommandFailed(f"{doing}: there is no git command on this host. Install git.") from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{doing}: git {arguments[0]} did not end within {self.remote.timeout} s.") from error
        if done.returncode not in accept:
            raise CommandFailed(
                f"{doing}: git {arguments[0]} ended with status {done.returncode}: "
                f"{_last_words(done.stderr)}{self._hint(done.stderr)}",
                rc=done.returncode,
                stderr=done.stderr,
            )
        return done.stdout.rstrip("\n")

    def _hint(self, stderr: str) -> str:
        for sign, hint in _HINTS:
            if sign in stderr:
                return " " + hint.format(known_hosts=self.remote.known_hosts, private_key=self.remote.private_key)
        return ""

    def fetch(self) -> str | None:
        """Fetch the remote branch with its history; None if the remote has no such branch."""
        doing = f"Reading branch {self.remote.branch} of {self.remote.url}"
        reference = f"refs/heads/{self.remote.branch}"
        deadline = self._clock() + self.remote.connect_timeout
        while True:
            try:
                listed = self.run("ls-remote", "--heads", "--", self.remote.url, reference, doing=doing)
            except CommandFailed as error:
                # A pod is ready some moments before the last node forwards its port.
                if self._clock() >= deadline or not any(sign in error.facts.get("stderr", "") for sign in _NOT_YET):
                    raise
                self._sleep(0.5)
            else:
                break
        if not listed:
            return None
        self.run(
            "fetch", "--quiet", "--no-tags", "--", self.remote.url, f"+{reference}:refs/drystone/head", doing=doing
        )
        return self.run("rev-parse", "refs/drystone/head", doing=doing)

    def push(self, commit: str) -> None:
        """Push a commit as the branch; never anything but a fast-forward."""
        doing = f"Pushing {commit[:12]} to branch {self.remote.branch} of {self.remote.url}"
        self.run("push", "--quiet", "--", self.remote.url, f"{commit}:refs/heads/{self.remote.branch}", doing=doing)

    def tree_of_directory(self, path: str) -> str:
        """Store what lies in a directory, minus what its .gitignore files leave out, and return the tree."""
        doing = f"Reading {path}"
        self.run("read-tree", "--empty", doing=doing, index="index.content")
        self.run("add", "--all", "--", ".", doing=doing, work_tree=path, index="index.content")
        return self.run("write-tree", doing=doing, index="index.content")

    def subtree(self, commit: str, prefix: str) -> str | None:
        """The tree that lies under a prefix of a commit; None if there is none."""
        found = self.run("ls-tree", "-d", commit, "--", prefix, doing=f"Reading {prefix} of commit {commit[:12]}")
        match = re.match(r"\d+ tree ([0-9a-f]+)\t", found)
        return match[1] if match else None

    def commit(self, parent: str | None, tree: str, prefix: str, message: str) -> str:
        """Make a commit that has the tree under the prefix and else what its parent has."""
        doing = "Making a commit"
        # Index operations with paths want a work tree; none of these touches a file in it.
        run = partial(self.run, doing=doing, index="index.commit", work_tree=self.directory)
        run("read-tree", parent or "--empty")
        run("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", prefix)
        run("read-tree", f"--prefix={prefix}/", tree)
        whole = run("write-tree")
        parents = ["-p", parent] if parent else []
        return self.run("commit-tree", whole, *parents, doing=doing, text=f"{message}\n\n{TRAILER}: {tree}\n")

    def last_own_commit(self, head: str) -> tuple[str, str] | None:
        """Find the newest commit that was made here: itself and the tree it says it brought."""
        shown = self.run(
            "log",
            "--max-count=1",
            f"--author=^{_NAME} <{_EMAIL}>$",
            f"--grep=^{TRAILER}: ",
            f"--format=%H %(trailers:key={TRAILER},valueonly,separator=)",
            head,
            doing=f"Reading the history of {self.remote.url}",
        )
        commit, _space, tree = shown.partition(" ")
        return (commit, tree.strip()) if tree else None

    def count(self, older: str, newer: str) -> int:
        """How many commits the newer one is ahead of the older one."""
        return int(self.run("rev-list", "--count", f"{older}..{newer}", doing="Counting commits"))

    def changed_paths(self, before: str | None, after: str, prefix: str) -> list[str]:
        """Name what differs between two trees, each line with its kind of change."""
        empty = self.run("hash-object", "-t", "tree", "-w", "--stdin", doing="Comparing content", text="")
        listed = self.run(
            "diff-tree", "-r", "--no-renames", "--name-status", before or empty, after, doing="Comparing content"
        )
        return [f"{line[0]} {prefix}/{line[1:].strip()}" for line in listed.splitlines()]

    def unbundle(self, path: str) -> str:
        """Fetch the branch out of a bundle file."""
        doing = f"Reading the Git bundle {path}"
        self.run("bundle", "verify", "--quiet", path, doing=doing)
        self.run("fetch", "--quiet", path, f"+refs/heads/{self.remote.branch}:refs/drystone/bundle", doing=doing)
        return self.run("rev-parse", "refs/drystone/bundle", doing=doing)

    def bundle(self, head: str, path: str) -> None:
        """Write the branch with its history to a bundle file."""
        doing = f"Writing the Git bundle {path}"
        reference = f"refs/heads/{self.remote.branch}"
        self.run("update-ref", reference, head, doing=doing)
        self.run("bundle", "create", "--quiet", path, reference, doing=doing)

    def bundled_head(self, path: str) -> str | None:
        """The branch's commit in a bundle file; None if there is no such file or branch."""
        if not os.path.isfile(path):
            return None
        listed = self.run("bundle", "list-heads", path, doing=f"Reading the Git bundle {path}", accept=(0, 1, 128))
        for line in listed.splitlines():
            commit, _space, reference = line.partition(" ")
            if reference == f"refs/heads/{self.remote.branch}":
                return commit
        return None


def _last_words(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(_CHATTER)]
    return " / ".join(lines[-3:]) or "it said nothing"
