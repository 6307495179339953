# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves what a credential can do with a repository, by doing it from this host. PRIVATE to the collection."""

from __future__ import annotations

import os
import tempfile
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, run
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import (
    Credential,
    Repository,
    SshCredential,
    secrets_of,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import renamed
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import (
    AuthenticationFailed,
    PermissionDenied,
    RefNotFound,
    RemoteFailed,
    RemoteUnavailable,
    RepositoryNotFound,
    StillAccepted,
    WriteAllowed,
)
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import scrubbed

# What a server says of a credential that it does not accept, and what it may say beside that while something changes.
_REFUSED = (PermissionDenied, AuthenticationFailed)
_UNSETTLED = (RepositoryNotFound, RemoteUnavailable)
_COMMAND_TIMEOUT = 30
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Access:
    """A repository as the pods reach it, and as this host does."""

    repository: Repository
    check: Repository
    clock: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def scan(self) -> str:
        """Obtain the host keys of the server, under the name that the pods look for."""
        doing = f"Obtaining the host keys of {self.check.url}"
        command = ["ssh-keyscan", "-T", "10", "-p", str(self.check.port), "--", self.check.host]
        done = run(command, _COMMAND_TIMEOUT, env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"})
        if done.rc == NOT_FOUND:
            raise CommandFailed(f"{doing}: there is no ssh-keyscan on this host. Install OpenSSH's client.")
        if done.rc == TIMED_OUT:
            raise RemoteUnavailable(
                f"{doing}: ssh-keyscan did not end within {_COMMAND_TIMEOUT} s. Is the server reachable?"
            )
        keys = renamed(done.stdout, self.repository.host_key_name)
        if not keys:
            said = " / ".join(sorted({line for line in done.stderr.splitlines() if not line.startswith("#")}))
            raise RemoteUnavailable(
                f"{doing}: ssh-keyscan got none ({said or 'it said nothing'}). Is the Git server running, and its port "
                "mapped?",
                stderr=done.stderr,
            )
        return keys

    def prove(self, credential: Credential, ref: str, *, read_only: bool = False, timeout: float = 0) -> str:
        """Read a ref with exactly this credential and return its commit, or raise what is the matter, one of each kind.

        What may change by itself is tried again until the timeout; with read_only a credential that may write is not
        accepted either.
        """
        doing = f"Reading {ref} of {self.check.url} with {credential.title}"
        paused = self._pauses(timeout)
        while True:
            try:
                return self._try(credential, ref, doing, read_only=read_only)
            except (*_REFUSED, *_UNSETTLED):
                if not paused():
                    raise

    def prove_refused(self, credential: Credential, ref: str, *, timeout: float = 0) -> str:
        """Wait until the server refuses a credential and return the reason that it gives.

        Only the refusal itself counts: a server that is down, or that does not show the repository, proves nothing.
        """
        doing = f"Checking that {self.check.url} refuses {credential.title}"
        paused = self._pauses(timeout)
        while True:
            problem: RemoteFailed = StillAccepted(
                f"{doing}: it is still accepted after {timeout:g} s. Withdraw it at the server and run again."
            )
            try:
                self._try(credential, ref, doing, read_only=False)
            except _REFUSED as refusal:
                return refusal.reason
            except _UNSETTLED as error:
                problem = error
            except RefNotFound:
                pass  # The server answered what only somebody gets to know who may read.
            if not paused():
                raise problem

    def _pauses(self, timeout: float) -> t.Callable[[], bool]:
        """Give what pauses before another attempt, longer each time, and returns whether there is time for one."""
        deadline, pause = self.clock() + timeout, 1.0

        def paused() -> bool:
            nonlocal pause
            if self.clock() + pause > deadline:
                return False
            self.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            return True

        return paused

    def _try(self, credential: Credential, ref: str, doing: str, *, read_only: bool) -> str:
        with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
            work = os.path.join(directory, "repository")
            os.mkdir(work, 0o700)
            try:
                git = Git(self._remote(credential, directory), work)
                commit = git.resolve(ref, doing)
                if read_only:
                    self._insist_on_read_only(git, credential)
            except CommandFailed as error:
                # A server may well repeat what it was sent.
                error.msg, error.facts = scrubbed((error.msg, error.facts), secrets_of(credential.data))
                error.args = (error.msg,)
                raise
        return commit

    def _insist_on_read_only(self, git: Git, credential: Credential) -> None:
        if git.may_write(f"Checking that {credential.title} may not write to {self.check.url}"):
            raise WriteAllowed(
                f"Checking that {credential.title} may not write to {self.check.url}: it may, the server was ready to "
                "take a push. Give it read access alone, or do without require_read_only."
            )

    def _remote(self, credential: Credential, directory: str) -> Remote:
        def written(name: str, text: str) -> str | None:
            if not text:
                return None
            path = os.path.join(directory, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(text)
            return path

        if isinstance(credential, SshCredential):
            data = credential.data
            return Remote(
                self.check.url,
                private_key=written("ssh", data["ssh"]),
                known_hosts=written("known_hosts", data["known_hosts"]),
                timeout=_COMMAND_TIMEOUT,
                host_key_alias=self.repository.host_key_name,
                key_name=credential.fingerprint,
            )
        return Remote(
            self.check.url,
            timeout=_COMMAND_TIMEOUT,
            credentials=written("credentials", credential.store_line(self.check)),
            ca_cert=written("ca.crt", credential.ca_cert),
            username=credential.username,
        )
