# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credentials of one git-sync: in use, waiting for authorization, replaced. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._credentials.access_check import Access
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_request import (
    PREVIOUS,
    STAGED,
    Request,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_store import (
    Store,
    Stored,
    refuse_foreign,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import HostKey, host_keys
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import SshKey, read_key
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

NAMES = ("current", "staged", "previous")


class Held:
    """Read the Secrets. Raise Refused if the module did not create one of them."""

    def __init__(self, store: Store, request: Request, hide: t.Callable[[set[str]], None]) -> None:
        self._request = request
        names = [request.name + suffix for suffix in ("", STAGED, PREVIOUS)]
        found = [store.read(name) for name in names]
        for stored in filter(None, found):
            hide(stored.secrets)
            doing = f"Updating the credentials {store.namespace}/{request.name} to state={request.state}"
            refuse_foreign(stored, doing)
        self.current, self.staged, self.previous = found

    @property
    def pending(self) -> Stored | None:
        """Return the staged Secret, unless its key is already in use because a run was interrupted."""
        if self.staged and not (self.current and self.current.public == self.staged.public):
            return self.staged
        return None

    def key(self) -> SshKey | None:
        """Return the key to test, or None if one must be generated first."""
        if self._request.private_key:
            return read_key(self._request.private_key, "The private key")
        if self.pending:
            return self.pending.key()
        return self.current.key() if self.current and self.current.auth == "ssh" else None

    def host_keys(self, name: str, access: Access | None) -> tuple[HostKey, ...]:
        """Return the given or pinned host keys. If there are none and the user allows it, read them from the host."""
        if self._request.known_hosts:
            return host_keys(self._request.known_hosts, name, "known_hosts as given")
        problem: InvalidInput | None = None
        for stored in (self.current, self.staged):
            if stored and "known_hosts" in stored.data:
                try:
                    return host_keys(stored.data["known_hosts"], name, f"known_hosts of {stored.where}")
                except InvalidInput as error:
                    problem = error
        if access and self._request.accept_host_key:
            return host_keys(access.scan(), name, "what ssh-keyscan got")
        raise problem or InvalidInput(
            f"There is no host key for {name}, so the server could not be verified. Set it in "
            "known_hosts, or set accept_host_key to read and pin it.",
            reason="host_key_missing",
        )

    def views(self, instead: t.Mapping[str, Stored | None]) -> dict[str, t.Any]:
        """Return the Secrets before and after the change, for a diff."""
        stored = {name: instead[name] if name in instead else getattr(self, name) for name in NAMES}
        return {name: one.view() if one else None for name, one in stored.items()}
