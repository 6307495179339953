# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Test the permissions of a credential on a repository from this host. PRIVATE to the collection."""

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

# Errors of a refused credential, and errors that a server may also return while something changes.
_REFUSED = (PermissionDenied, AuthenticationFailed)
_UNSETTLED = (RepositoryNotFound, RemoteUnavailable)
_COMMAND_TIMEOUT = 30
_LONGEST_PAUSE = 5.0


@dataclass(frozen=True)
class Access:
    """A repository with its URLs for Pods and for this host."""

    repository: Repository
    check: Repository
    clock: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def scan(self) -> str:
        """Return the host keys of the server with the host name that Pods use."""
        doing = f"Obtaining the host keys of {self.check.url}"
        command = ["ssh-keyscan", "-T", "10", "-p", str(self.check.port), "--", self.check.host]
        done = run(command, _COMMAND_TIMEOUT, env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"})
        if done.rc == NOT_FOUND:
            raise CommandFailed(f"{doing}: ssh-keyscan is not installed on this host. Install the OpenSSH client.")
        if done.rc == TIMED_OUT:
            raise RemoteUnavailable(
                f"{doing}: ssh-keyscan did not end within {_COMMAND_TIMEOUT} s. Check that the server can be reached."
            )
        keys = renamed(done.stdout, self.repository.host_key_name)
        if not keys:
            said = " / ".join(sorted({line for line in done.stderr.splitlines() if not line.startswith("#")}))
            raise RemoteUnavailable(
                f"{doing}: ssh-keyscan found none ({said or 'no output'}). Check that the Git server runs and "
                "that its port is mapped.",
                stderr=done.stderr,
            )
        return keys

    def prove(self, credential: Credential, ref: str, *, read_only: bool = False, timeout: float = 0) -> str:
        """Read a ref with this credential and return its commit, or raise the error of the server.

        Retry errors that may be temporary until the timeout. With read_only, refuse a credential that can write.
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
        """Wait until the server refuses a credential, and return the reason.

        Only a refusal counts. A server that is down or does not show the repository proves nothing.
        """
        doing = f"Checking that {self.check.url} refuses {credential.title}"
        paused = self._pauses(timeout)
        while True:
            problem: RemoteFailed = StillAccepted(
                f"{doing}: the server still accepts it after {timeout:g} s. Revoke it on the server, and run again."
            )
            try:
                self._try(credential, ref, doing, read_only=False)
            except _REFUSED as refusal:
                return refusal.reason
            except _UNSETTLED as error:
                problem = error
            except RefNotFound:
                pass  # Only a client that may read gets this answer.
            if not paused():
                raise problem

    def _pauses(self, timeout: float) -> t.Callable[[], bool]:
        """Return a function that sleeps before the next attempt, longer each time, unless the time is over."""
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
                # The message of a server may contain the credential.
                error.msg, error.facts = scrubbed((error.msg, error.facts), secrets_of(credential.data))
                error.args = (error.msg,)
                raise
        return commit

    def _insist_on_read_only(self, git: Git, credential: Credential) -> None:
        if git.may_write(f"Checking that {credential.title} may not write to {self.check.url}"):
            raise WriteAllowed(
                f"Checking that {credential.title} may not write to {self.check.url}: it may, because the server "
                "accepted a push. Give it read-only access, or do not set require_read_only."
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
