# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Store, replace and check the credential of a git-sync. PRIVATE to the collection.

A credential is tested before it is written, and it is written in one request, so the Secret always contains a tested
credential. A generated key waits in a separate Secret until the server authorizes it. A replaced credential can be kept
in another Secret until the server refuses it.
"""

from __future__ import annotations

import contextlib
import time
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._credentials.access_check import Access
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import (
    SHAPE,
    Credential,
    SshCredential,
    read_https,
    read_repository,
    secrets_of,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_held import NAMES, Held
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import (
    PREVIOUS,
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
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import HostKey
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, read_key
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
    """Update the Secrets to the requested state. Values passed to hide must not appear in any output."""
    hide(_given(request))
    auth = check_options(request)
    keeper = _Keeper(Store(api, request.namespace), request, check=check, hide=hide)
    if request.state == "absent":
        return keeper.remove()
    if request.state == "staged":
        return keeper.stage()
    repository = read_repository(request.repository or "", "The repository")
    reached = read_repository(request.check_repository or repository.url, "The check_repository")
    access = Access(repository, reached, clock, sleep)
    if request.state == "checked":
        return keeper.examine(auth, access)
    return keeper.retire(access) if request.state == "retired" else keeper.provide(auth, access)


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
        self._held = Held(store, request, hide)

    def remove(self) -> Outcome:
        found = [stored for stored in (self._held.current, self._held.staged, self._held.previous) if stored]
        for stored in found:
            if not self._check:
                self._store.delete(stored)
        return self._outcome("deleted" if found else "unchanged", instead=dict.fromkeys(NAMES))

    def stage(self) -> Outcome:
        if pending := self._held.pending:
            return self._outcome("unchanged", pending, staged=True)
        if self._held.current and self._held.current.auth == "ssh" and not self._request.rotate:
            return self._outcome("unchanged", self._held.current)
        known = None
        if self._request.known_hosts and self._request.repository:
            known = self._held.host_keys(
                read_repository(self._request.repository, "The repository").host_key_name, None
            )
        planned = self._make(known)
        return self._outcome("staged", planned, staged=True, instead={"staged": planned})

    def provide(self, auth: str, access: Access) -> Outcome:
        made = None
        credential: Credential
        if auth == "https":
            credential = read_https(self._request.username, self._request.password, self._request.ca_cert)
        else:
            key = self._held.key()
            known = self._held.host_keys(access.repository.host_key_name, access)
            if key is None:
                made = self._make(known)
                key = made.key()
                if self._check:  # A key that is not stored cannot be tested.
                    return self._outcome("staged", made, staged=True, instead={"staged": made})
            credential = SshCredential(key, known)
        commit = self._prove(credential, access, made)
        current, planned = self._held.current, self._planned(credential)
        rotated = current is not None and current.fingerprint != planned.fingerprint
        instead: dict[str, Stored | None] = {"current": planned}
        if current and rotated and self._request.keep_previous and current.auth == auth:
            instead["previous"] = self._keep(current, planned, access)
        action = ("configured" if current else "created") if self._differs(planned) else "unchanged"
        if action != "unchanged" and not self._check:
            self._store.write(current, planned)
        # Delete the staged key last, so that an interrupted run can continue with it.
        if self._request.generate and (leftover := made or self._held.staged):
            instead["staged"] = None
            action = "configured" if action == "unchanged" else action
            if not self._check:
                self._store.delete(leftover)
        return self._outcome(action, planned, commit=commit, rotated=rotated, instead=instead)

    def _keep(self, current: Stored, planned: Stored, access: Access) -> Stored:
        """Copy the replaced credential. Overwrite an earlier copy only if its refusal need not be verified any more."""
        previous = self._held.previous
        unproved = previous and previous.fingerprint not in (current.fingerprint, planned.fingerprint)
        if previous and unproved and not self._check:
            self._prove_refused(previous, access)
        data = {name: value for name, value in current.data.items() if name in SHAPE}
        labels = {**self._request.labels, LABEL: "previous"}
        kept = self._store.planned(self._request.name + PREVIOUS, previous, data, labels, current.annotations)
        return kept if self._check else self._store.write(previous, kept)

    def retire(self, access: Access) -> Outcome:
        """Delete the replaced credential once the server refuses it."""
        previous, current = self._held.previous, self._held.current
        if not previous:
            return self._outcome("unchanged", current)
        # It is in use if a run was interrupted before the replacement, or if somebody restored it.
        replaced = current is None or current.fingerprint != previous.fingerprint
        refusal = self._prove_refused(previous, access) if replaced and not self._check else None
        if not self._check:
            self._store.delete(previous)
        return self._outcome("deleted", previous, refusal=refusal, instead={"previous": None})

    def _prove_refused(self, previous: Stored, access: Access) -> str:
        if previous.auth != access.repository.scheme:
            raise InvalidInput(
                f"{previous.where} is for {previous.auth}, but the repository {access.repository.url} uses "
                f"{access.repository.scheme}. Revoke that credential on the Git server, and delete the Secret."
            )
        return access.prove_refused(self._stored(previous, access), self._request.ref, timeout=self._request.timeout)

    def examine(self, auth: str, access: Access) -> Outcome:
        """Test the given credential or the one in use, and write nothing."""
        request, current = self._request, self._held.current
        credential: Credential
        if request.private_key:
            known = self._held.host_keys(access.repository.host_key_name, access)
            credential = SshCredential(read_key(request.private_key, "The private key"), known)
        elif request.username or request.password:
            credential = read_https(request.username, request.password, request.ca_cert)
        elif current and current.auth == auth:
            credential = self._stored(current, access)
        else:
            raise InvalidInput(
                f"There is no credential for {auth} to check: Secret {request.namespace}/{request.name} "
                f"{'is for ' + str(current.auth) if current else 'does not exist'}, and no credential is given.",
                reason="auth_differs" if current else "credential_missing",
            )
        shown = self._planned(credential)
        if request.expect == "refused":
            refusal = access.prove_refused(credential, request.ref, timeout=request.timeout)
            return self._outcome("unchanged", shown, refusal=refusal)
        commit = access.prove(credential, request.ref, read_only=request.require_read_only, timeout=request.timeout)
        return self._outcome("unchanged", shown, commit=commit)

    def _stored(self, stored: Stored, access: Access) -> Credential:
        request = self._request
        name = access.repository.host_key_name
        return stored.credential(name, known_hosts=request.known_hosts, ca_cert=request.ca_cert)

    def _prove(self, credential: Credential, access: Access, made: Stored | None) -> str:
        request = self._request
        try:
            return access.prove(credential, request.ref, read_only=request.require_read_only, timeout=request.timeout)
        except RemoteFailed as error:
            if request.generate and (waiting := made or self._held.pending):
                facts = public_facts(waiting)
                error.facts |= {"changed": made is not None, "staged": True, **facts}
                if error.reason in ("permission_denied", "repository_not_found"):
                    error.msg += (
                        f" Authorize this key to read the repository, then run this again: {facts['public_key']}"
                    )
                    error.args = (error.msg,)
            raise

    def _make(self, known: tuple[HostKey, ...] | None) -> Stored:
        """Generate a key, and store it in a Secret that no Pod uses."""
        key = read_key(new_key(), "The generated key")
        data = SshCredential(key, known or ()).data
        planned = self._store.planned(
            self._request.name + STAGED,
            self._held.staged,
            {name: value for name, value in data.items() if value},
            {**self._request.labels, LABEL: "staged"},
            {REPOSITORY: self._request.repository} if self._request.repository else {},
        )
        self._hide(planned.secrets)
        return planned if self._check else self._store.write(self._held.staged, planned)

    def _planned(self, credential: Credential) -> Stored:
        data = credential.data
        if (
            isinstance(credential, SshCredential)
            and self._held.current
            and self._held.current.public == credential.key.public
        ):
            data["ssh"] = self._held.current.data["ssh"]  # Keep the same key, which may be formatted differently.
        self._hide(secrets_of(data, shown=credential.key.public if isinstance(credential, SshCredential) else ""))
        return self._store.planned(
            self._request.name,
            self._held.current,
            data,
            {**self._request.labels, LABEL: "current"},
            {REPOSITORY: self._request.repository or "", REF: self._request.ref},
        )

    def _differs(self, planned: Stored) -> bool:
        old = self._held.current
        return old is None or any(
            getattr(old, part) != getattr(planned, part) for part in ("data", "labels", "annotations")
        )

    def _outcome(
        self,
        action: str,
        shown: Stored | None = None,
        *,
        instead: t.Mapping[str, Stored | None] | None = None,
        **facts: t.Any,
    ) -> Outcome:
        return Outcome(action, shown, before=self._held.views({}), after=self._held.views(instead or {}), **facts)
