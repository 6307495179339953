# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what becomes of a git-sync's credential, and of the one that is to replace it. PRIVATE to the collection.

A credential is proved before it is written, and it is written in one request: at any moment the Secret has one that
was good. A generated key waits in a Secret of its own until the server knows it.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._credentials.access_check import Access
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import (
    Credential,
    SshCredential,
    read_https,
    read_repository,
    secrets_of,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import (
    STAGED,
    Outcome,
    Request,
    check_options,
    public_facts,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_store import (
    LABEL,
    REF,
    REPOSITORY,
    Store,
    Stored,
    refuse_foreign,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import HostKey, host_keys
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import SshKey, new_key, read_key
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteFailed
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


def ensure(
    api: KubeApi,
    request: Request,
    *,
    check: bool,
    hide: t.Callable[[set[str]], None],
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> Outcome:
    """Bring the Secrets into the state asked for. What is given to hide must not turn up in any output."""
    hide(_given(request))
    auth = check_options(request)
    keeper = _Keeper(Store(api, request.namespace), request, check=check, hide=hide)
    if request.state == "absent":
        return keeper.remove()
    if request.state == "staged":
        return keeper.stage()
    repository = read_repository(request.repository or "", "The repository")
    reached = read_repository(request.check_repository or repository.url, "The check_repository")
    return keeper.provide(auth, Access(repository, reached, clock, sleep))


def _given(request: Request) -> set[str]:
    shown = ""
    if request.private_key:
        with contextlib.suppress(InvalidInput):
            shown = read_key(request.private_key, "The private key").public
    data = {"ssh": request.private_key, "username": request.username, "password": request.password}
    return secrets_of({key: value or "" for key, value in data.items()}, shown=shown)


class _Keeper:
    def __init__(self, store: Store, request: Request, *, check: bool, hide: t.Callable[[set[str]], None]) -> None:
        self._store = store
        self._request = request
        self._check = check
        self._hide = hide
        self._current = self._read(request.name)
        self._staged = self._read(request.name + STAGED)

    def _read(self, name: str) -> Stored | None:
        stored = self._store.read(name)
        if stored:
            self._hide(stored.secrets)
        refuse_foreign(
            stored, f"Bringing the credentials {self._store.namespace}/{name} to state={self._request.state}"
        )
        return stored

    def remove(self) -> Outcome:
        found = [stored for stored in (self._current, self._staged) if stored]
        outcome = self._outcome("deleted" if found else "unchanged")
        for stored in found:
            if not self._check:
                self._store.delete(stored)
        outcome.after = _views(None, None)
        return outcome

    def stage(self) -> Outcome:
        if pending := self._pending():
            return self._outcome("unchanged", pending, staged=True)
        if self._current and self._current.auth == "ssh" and not self._request.rotate:
            return self._outcome("unchanged", self._current)
        known = None
        if self._request.known_hosts and self._request.repository:
            known = self._host_keys(read_repository(self._request.repository, "The repository").host_key_name, None)
        planned = self._make(known)
        outcome = self._outcome("staged", planned, staged=True)
        outcome.after = _views(self._current, planned)
        return outcome

    def provide(self, auth: str, access: Access) -> Outcome:
        made = None
        credential: Credential
        if auth == "https":
            credential = read_https(self._request.username, self._request.password, self._request.ca_cert)
        else:
            key = self._key()
            known = self._host_keys(access.repository.host_key_name, access)
            if key is None:
                made = self._make(known)
                key = made.key()
                if self._check:  # A key that is thrown away again can prove nothing.
                    outcome = self._outcome("staged", made, staged=True)
                    outcome.after = _views(self._current, made)
                    return outcome
            credential = SshCredential(key, known)
        commit = self._prove(credential, access, made)
        planned = self._planned(credential)
        rotated = self._current is not None and self._current.fingerprint != planned.fingerprint
        action = ("configured" if self._current else "created") if self._differs(planned) else "unchanged"
        if action != "unchanged" and not self._check:
            self._store.write(self._current, planned)
        # Only now: had the run ended before, the staged key would still be the one to go on with.
        leftover = (made or self._staged) if self._request.generate else None
        if leftover:
            action = "configured" if action == "unchanged" else action
            if not self._check:
                self._store.delete(leftover)
        outcome = self._outcome(action, planned, commit=commit, rotated=rotated)
        outcome.after = _views(planned, None if leftover else self._staged)
        return outcome

    def _prove(self, credential: Credential, access: Access, made: Stored | None) -> str:
        request = self._request
        try:
            return access.prove(credential, request.ref, read_only=request.require_read_only, timeout=request.timeout)
        except RemoteFailed as error:
            if request.generate and (waiting := made or self._pending()):
                facts = public_facts(waiting)
                error.facts |= {"changed": made is not None, "staged": True, **facts}
                if error.reason in ("permission_denied", "repository_not_found"):
                    error.msg += f" Authorise this key to read the repository, and run again: {facts['public_key']}"
                    error.args = (error.msg,)
            raise

    def _pending(self) -> Stored | None:
        """The staged Secret, unless its key is in use already because a run was ended between two writes."""
        if self._staged and not (self._current and self._current.public == self._staged.public):
            return self._staged
        return None

    def _key(self) -> SshKey | None:
        """The key to be proved; None if one has to be made first."""
        if self._request.private_key:
            return read_key(self._request.private_key, "The private key")
        if pending := self._pending():
            return pending.key()
        return self._current.key() if self._current and self._current.auth == "ssh" else None

    def _host_keys(self, name: str, access: Access | None) -> tuple[HostKey, ...]:
        """Those given, or else those pinned before; only a host without any is asked for them, and only on request."""
        if self._request.known_hosts:
            return host_keys(self._request.known_hosts, name, "known_hosts as given")
        problem: InvalidInput | None = None
        for stored in (self._current, self._staged):
            if stored and "known_hosts" in stored.data:
                try:
                    return host_keys(stored.data["known_hosts"], name, f"known_hosts of {stored.where}")
                except InvalidInput as error:
                    problem = error
        if access and self._request.accept_host_key:
            return host_keys(access.scan(), name, "what ssh-keyscan got")
        raise problem or InvalidInput(
            f"There is no host key for {name}, so that nobody could tell the server from another. Give it in "
            "known_hosts, or set accept_host_key to have it obtained and pinned.",
            reason="host_key_missing",
        )

    def _make(self, known: tuple[HostKey, ...] | None) -> Stored:
        """Make a key and keep it where no pod looks."""
        key = read_key(new_key(), "The generated key")
        data = SshCredential(key, known or ()).data
        planned = self._store.planned(
            self._request.name + STAGED,
            self._staged,
            {name: value for name, value in data.items() if value},
            {**self._request.labels, LABEL: "staged"},
            {REPOSITORY: self._request.repository} if self._request.repository else {},
        )
        self._hide(planned.secrets)
        return planned if self._check else self._store.write(self._staged, planned)

    def _planned(self, credential: Credential) -> Stored:
        data = credential.data
        if isinstance(credential, SshCredential) and self._current and self._current.public == credential.key.public:
            data["ssh"] = self._current.data["ssh"]  # The same key, maybe written in another way.
        self._hide(secrets_of(data, shown=credential.key.public if isinstance(credential, SshCredential) else ""))
        return self._store.planned(
            self._request.name,
            self._current,
            data,
            {**self._request.labels, LABEL: "current"},
            {REPOSITORY: self._request.repository or "", REF: self._request.ref},
        )

    def _differs(self, planned: Stored) -> bool:
        old = self._current
        return old is None or any(
            getattr(old, part) != getattr(planned, part) for part in ("data", "labels", "annotations")
        )

    def _outcome(self, action: str, shown: Stored | None = None, **facts: t.Any) -> Outcome:
        before = _views(self._current, self._staged)
        return Outcome(action, shown, before=before, after=before, **facts)


def _views(current: Stored | None, staged: Stored | None) -> dict[str, t.Any]:
    return {"current": current.view() if current else None, "staged": staged.view() if staged else None}
