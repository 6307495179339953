# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run git on one remote, isolated from the user's Git configuration. PRIVATE to the collection.

Git uses no agent, no configuration of the user or the system, no prompt, only our own credential file, and only the
host keys of one file. Arguments and the environment contain no credentials, only paths of files.
"""

from __future__ import annotations

import os
import re
import shlex
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, run
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import (
    RefNotFound,
    RemoteUnavailable,
    failure,
    is_refusal,
)

_NAME = "Drystone"
_EMAIL = "drystone@localhost"
AUTHOR = f"{_NAME} <{_EMAIL}>"
# Environment variables of the network configuration of this host.
_PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHOWN_BRANCHES = 8


@dataclass(frozen=True)
class Author:
    """Who requested a commit. Drystone is always the committer."""

    name: str
    email: str


@dataclass(frozen=True)
class Remote:
    """One repository and the credentials for it.

    host_key_alias is the name for looking up host keys instead of the host's name. credentials is a file in the format
    of git's credential store. The last two fields are the names of the credential in messages.
    """

    url: str
    branch: str = "main"
    private_key: str | None = None
    known_hosts: str | None = None
    timeout: int = 60
    connect_timeout: int = 0
    host_key_alias: str = ""
    credentials: str | None = None
    ca_cert: str | None = None
    key_name: str = ""
    username: str = ""

    @property
    def names(self) -> dict[str, str]:
        """The names of the used credentials in messages."""
        return {
            "private_key": self.key_name or str(self.private_key),
            "known_hosts": "known_hosts" if self.key_name else str(self.known_hosts),
            "username": self.username,
        }

    def ssh_command(self) -> list[str]:
        """The ssh command, which uses only this credential and these host keys."""
        ssh = ["ssh", "-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentityAgent=none", "-o", "IdentitiesOnly=yes"]
        ssh += ["-o", "PasswordAuthentication=no", "-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no"]
        ssh += ["-o", f"UserKnownHostsFile={_quoted(self.known_hosts or os.devnull)}"]
        ssh += ["-o", f"GlobalKnownHostsFile={os.devnull}"]
        ssh += ["-o", f"ConnectTimeout={min(self.timeout, 10)}", "-o", "ServerAliveInterval=10"]
        if self.host_key_alias:
            ssh += ["-o", f"HostKeyAlias={self.host_key_alias}"]
        if self.private_key:
            ssh += ["-o", f"IdentityFile={_quoted(self.private_key)}"]
        return ssh

    def environment(self, directory: str) -> dict[str, str]:
        """Return the environment for git."""
        seen = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": directory,
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": shlex.join(self.ssh_command()),
            "GIT_AUTHOR_NAME": _NAME,
            "GIT_AUTHOR_EMAIL": _EMAIL,
            "GIT_COMMITTER_NAME": _NAME,
            "GIT_COMMITTER_EMAIL": _EMAIL,
        }
        if self.url.startswith("https://"):
            # Allow no redirect, which could send the password unencrypted.
            seen |= {"GIT_ALLOW_PROTOCOL": "https"}
            seen |= {name: os.environ[name] for name in _PROXIES if name in os.environ}
        if self.ca_cert:
            seen["GIT_SSL_CAINFO"] = self.ca_cert
        if self.credentials:
            helper = f"store --file={shlex.quote(self.credentials)}"
            seen |= {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "credential.helper", "GIT_CONFIG_VALUE_0": helper}
        return seen


def remote_of(params: t.Mapping[str, t.Any]) -> Remote:
    """Return the repository that the options of _argspec.git_argspec() name."""
    return Remote(url=params["repository"], **{name: params[name] for name in git_argspec() if name != "repository"})


def _quoted(path: str) -> str:
    """Return a path for an option of ssh, which splits values at spaces and replaces % tokens (ssh_config(5))."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


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
        self.run("init", "--quiet", "--bare", "--template=", doing="Preparing a temporary repository")

    def run(
        self,
        *arguments: str,
        doing: str,
        text: str | None = None,
        work_tree: str | None = None,
        index: str | None = None,
        accept: tuple[int, ...] = (0,),
        author: Author | None = None,
    ) -> str:
        """Run git and return its output. Raise CommandFailed or a subclass with the operation in the message."""
        environment = dict(self._environment, GIT_DIR=self.directory)
        if author:
            environment |= {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email}
        if work_tree:
            environment["GIT_WORK_TREE"] = work_tree
        if index:
            environment["GIT_INDEX_FILE"] = os.path.join(self.directory, index)
        command = ["git", "-c", "core.autocrlf=false", "-c", "gc.auto=0", "-c", "protocol.ext.allow=never", *arguments]
        done = run(command, self.remote.timeout, env=environment, cwd=work_tree or self.directory, text=text)
        if done.rc == NOT_FOUND:
            raise CommandFailed(f"{doing}: git is not installed on this host. Install it.")
        if done.rc == TIMED_OUT:
            raise RemoteUnavailable(
                f"{doing}: git {arguments[0]} did not end within {self.remote.timeout} s. "
                "Check that the server can be reached."
            )
        if done.rc not in accept:
            raise failure(doing, arguments[0], done.rc, done.stderr, self.remote)
        return done.stdout.rstrip("\n")

    def patiently(self, ask: t.Callable[[], str]) -> str:
        """Retry requests to a server that does not answer, until connect_timeout."""
        deadline = self._clock() + self.remote.connect_timeout
        while True:
            try:
                return ask()
            except RemoteUnavailable:
                # A Pod becomes ready before all nodes forward its port.
                if self._clock() >= deadline:
                    raise
                self._sleep(0.5)

    def fetch(self, *, shallow: bool = False) -> str | None:
        """Fetch the branch with its history, or only its newest commit. Return None if the branch does not exist."""
        doing = f"Reading branch {self.remote.branch} of {self.remote.url}"
        reference = f"refs/heads/{self.remote.branch}"
        listed = self.patiently(lambda: self.run("ls-remote", "--heads", "--", self.remote.url, reference, doing=doing))
        if not listed:
            return None
        source = [f"+{reference}:refs/drystone/head"]
        how = ["--quiet", "--no-tags", *(["--depth=1"] if shallow else [])]
        self.run("fetch", *how, "--", self.remote.url, *source, doing=doing)
        return self.run("rev-parse", "refs/drystone/head", doing=doing)

    def refs(self) -> dict[str, str]:
        """Return all refs of the remote (branches, tags, notes and others) with their objects."""
        doing = f"Listing the refs of {self.remote.url}"
        listed = self.patiently(lambda: self.run("ls-remote", "--", self.remote.url, "refs/*", doing=doing))
        pairs = (line.partition("\t") for line in listed.splitlines())
        return {name: found for found, _tab, name in pairs if not name.endswith("^{}")}

    def push(self, commit: str) -> None:
        """Push a commit to the branch, only as a fast-forward."""
        doing = f"Pushing {commit[:12]} to branch {self.remote.branch} of {self.remote.url}"
        self.run("push", "--quiet", "--", self.remote.url, f"{commit}:refs/heads/{self.remote.branch}", doing=doing)

    def resolve(self, ref: str, doing: str) -> str:
        """Return the commit of a branch, a tag, HEAD or a full hash on the remote. Raise RefNotFound if it has none."""
        if _COMMIT.fullmatch(ref):
            return self._fetched(ref, doing)
        # Like git, prefer a tag over a branch with the same name.
        names = [ref] if ref == "HEAD" or ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]
        wanted = [name for plain in names for name in (f"{plain}^{{}}", plain)]
        listed = self.run("ls-remote", "--", self.remote.url, *wanted, doing=doing)
        found = {name: commit for commit, _tab, name in (line.partition("\t") for line in listed.splitlines())}
        for name in wanted:
            if name in found:
                return found[name]
        raise RefNotFound(f"{doing}: the repository has no branch or tag {ref}. {self._branches(doing)}", ref=ref)

    def _fetched(self, commit: str, doing: str) -> str:
        try:
            self.run("fetch", "--quiet", "--depth=1", "--no-tags", "--", self.remote.url, commit, doing=doing)
        except CommandFailed as error:
            if not re.search(
                r"not our ref|unadvertised object|couldn't find remote ref", error.facts.get("stderr", "")
            ):
                raise
            raise RefNotFound(f"{doing}: the repository has no commit {commit}.", ref=commit) from error
        return commit

    def _branches(self, doing: str) -> str:
        listed = self.run("ls-remote", "--heads", "--", self.remote.url, doing=doing)
        branches = [line.partition("refs/heads/")[2] for line in listed.splitlines()]
        if not branches:
            return "It has no branch. Push a first commit."
        more = f" and {len(branches) - _SHOWN_BRANCHES} more" if len(branches) > _SHOWN_BRANCHES else ""
        return f"It has the branches {', '.join(branches[:_SHOWN_BRANCHES])}{more}."

    def may_write(self, doing: str) -> bool:
        """Start a push and abort it before any data is sent. Return whether the remote accepts it."""
        tree = self.run("hash-object", "-t", "tree", "-w", "--stdin", doing=doing, text="")
        commit = self.run("commit-tree", tree, "-m", "Never sent", doing=doing)
        target = f"{commit}:refs/heads/drystone-write-probe-{commit[:12]}"
        try:
            self.run("push", "--dry-run", "--quiet", "--", self.remote.url, target, doing=doing)
        except RemoteUnavailable:
            raise
        except CommandFailed as error:
            if is_refusal(error.facts.get("stderr", "")):
                return False
            raise
        return True
