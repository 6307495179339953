# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options and the result of a credential of git-sync, and the validation of options. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import read_repository
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_store import Stored
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

# Suffixes of the Secrets with a key that waits for authorization, and with a replaced credential.
STAGED = "-staged"
PREVIOUS = "-previous"


@dataclass(frozen=True)
class Request:
    """The options of the module."""

    namespace: str
    name: str
    state: str = "present"
    repository: str | None = None
    check_repository: str | None = None
    ref: str = "main"
    auth: str | None = None
    private_key: str | None = field(default=None, repr=False)
    generate: bool = False
    rotate: bool = False
    known_hosts: str | None = None
    accept_host_key: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_cert: str | None = None
    require_read_only: bool = False
    expect: str = "accepted"
    keep_previous: bool = False
    timeout: int = 0
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """The change that was or would be made, without confidential values."""

    action: str = "unchanged"
    shown: Stored | None = None
    commit: str | None = None
    rotated: bool = False
    staged: bool = False
    refusal: str | None = None
    before: dict[str, t.Any] = field(default_factory=dict)
    after: dict[str, t.Any] = field(default_factory=dict)

    def facts(self) -> dict[str, t.Any]:
        """Return the outcome as the result of the module."""
        return {
            "changed": self.action != "unchanged",
            "action": self.action,
            "commit": self.commit,
            "rotated": self.rotated,
            "staged": self.staged,
            **({"reason": self.refusal} if self.refusal else {}),
            **public_facts(self.shown),
            "diff": {"before": self.before, "after": self.after},
        }


def public_facts(stored: Stored | None) -> dict[str, t.Any]:
    """Return the public properties of a credential."""
    comment = f" {stored.object['metadata']['namespace']}/{stored.object['metadata']['name']}" if stored else ""
    comment = comment.removesuffix(STAGED).removesuffix(PREVIOUS)
    return {
        "auth": stored.auth if stored else None,
        "public_key": f"{stored.public}{comment}" if stored and stored.public else None,
        "fingerprint": stored.fingerprint if stored else None,
        "host_key_fingerprints": stored.host_key_fingerprints if stored else [],
    }


def check_options(request: Request) -> str:
    """Validate the options, and return the type of authentication. Raise InvalidInput for conflicting options."""
    if request.state == "absent":
        return ""
    repository = read_repository(request.repository, "The repository") if request.repository else None
    auth = request.auth or (repository.scheme if repository else "ssh")
    if repository and auth != repository.scheme:
        raise InvalidInput(f"auth is {auth}, but the repository {repository.url} uses {repository.scheme}.")
    if request.check_repository:
        check = read_repository(request.check_repository, "The check_repository")
        if check.scheme != auth:
            raise InvalidInput(
                f"The repository uses {auth}, but check_repository {check.url} uses {check.scheme}. Use the same "
                "scheme, because a credential is tested in the way in which pods use it."
            )
    _check_state(request, auth)
    ssh = {"private_key": request.private_key, "generate": request.generate, "known_hosts": request.known_hosts}
    ssh["accept_host_key"] = request.accept_host_key
    https = {"username": request.username, "password": request.password, "ca_cert": request.ca_cert}
    if wrong := sorted(name for name, value in (https if auth == "ssh" else ssh).items() if value):
        raise InvalidInput(f"{', '.join(wrong)} cannot be used, because the repository uses {auth}.")
    if request.state == "present" and auth == "ssh" and bool(request.private_key) == request.generate:
        raise InvalidInput("Exactly one of private_key, private_key_file and generate is needed for an SSH repository.")
    return auth


def _check_state(request: Request, auth: str) -> None:
    """Validate the options that are only valid for some states."""
    given = any((request.private_key, request.username, request.password))
    if request.rotate and request.state != "staged":
        raise InvalidInput("rotate generates a new key that must be authorized. It requires state=staged and generate.")
    if request.state == "staged" and not (request.generate and auth == "ssh"):
        raise InvalidInput("state=staged is only for generated SSH keys. Set generate, and use an ssh repository.")
    if request.generate and request.state not in ("present", "staged"):
        raise InvalidInput(f"generate creates a key, which state={request.state} does not use. Remove generate.")
    if request.keep_previous and request.state != "present":
        raise InvalidInput("keep_previous keeps a replaced credential. It requires state=present.")
    if request.expect != "accepted" and (request.state != "checked" or request.require_read_only):
        raise InvalidInput("expect=refused requires state=checked and excludes require_read_only.")
    if given and request.state == "retired":
        raise InvalidInput("state=retired uses the replaced credential. Do not give another one.")


def read_file(path: str, what: str) -> str:
    """Read a file with a credential. Raise InvalidInput if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError as error:
        raise InvalidInput(f"The {what} {path} cannot be read: {error.strerror}.", reason="file_unreadable") from error
