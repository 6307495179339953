# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the credential of git-sync in a Secret, and check whether it can read its repository. PRIVATE."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._credentials.access_check import Access
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import read_repository
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import (
    PREVIOUS,
    STAGED,
    public_facts,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_store import (
    REF,
    REPOSITORY,
    Store,
    Stored,
)
from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    CommandFailed,
    InvalidInput,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


def inspect(
    api: KubeApi,
    namespace: str,
    name: str,
    *,
    check: bool,
    repository: str | None,
    check_repository: str | None,
    ref: str | None,
    hide: t.Callable[[set[str]], None],
    clock: t.Callable[[], float] = time.monotonic,
    sleep: t.Callable[[float], None] = time.sleep,
) -> dict[str, t.Any]:
    """Return the public properties of a Secret, and with check the current answer of the server."""
    store = Store(api, namespace)
    current, staged, previous = (store.read(name + suffix) for suffix in ("", STAGED, PREVIOUS))
    for stored in (current, staged, previous):
        if stored:
            hide(stored.secrets)
    annotations = current.annotations if current else {}
    repository, ref = repository or annotations.get(REPOSITORY), ref or annotations.get(REF, "main")
    waiting = public_facts(staged)
    facts = {
        "exists": current is not None,
        "ours": current is not None and current.ours,
        **public_facts(current),
        "staged_public_key": waiting["public_key"],
        "staged_fingerprint": waiting["fingerprint"],
        "previous_fingerprint": previous.fingerprint if previous else None,
        "repository": repository,
        "ref": ref,
    }
    if check:
        where = f"{namespace}/{name}"
        facts |= _check(current, where, repository, check_repository, ref, clock, sleep)
    return facts


def _check(
    current: Stored | None,
    where: str,
    repository: str | None,
    check_repository: str | None,
    ref: str,
    clock: t.Callable[[], float],
    sleep: t.Callable[[float], None],
) -> dict[str, t.Any]:
    if current is None or current.auth is None:
        what = (
            f"Secret {where} does not exist."
            if current is None
            else f"{current.where} contains no credential of git-sync."
        )
        return _unreadable("credential_missing", what)
    if not repository:
        raise InvalidInput(f"{current.where} does not name its repository. Set repository to check the credential.")
    target = read_repository(repository, "The repository")
    reached = read_repository(check_repository or repository, "The check_repository")
    try:
        if {target.scheme, reached.scheme} != {current.auth}:
            return _unreadable("auth_differs", f"{current.where} is for {current.auth}, but {reached.url} is not.")
        credential = current.credential(target.host_key_name)
        commit = Access(target, reached, clock, sleep).prove(credential, ref)
    except (InvalidInput, CommandFailed) as error:
        return _unreadable(error.facts.get("reason", "remote_failed"), error.msg)
    return {"readable": True, "commit": commit, "reason": None, "problem": None}


def _unreadable(reason: str, problem: str) -> dict[str, t.Any]:
    return {"readable": False, "commit": None, "reason": reason, "problem": problem}
