# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one exception tree of the collection. PRIVATE to the collection.

A module's main() catches DrystoneError once and hands its message and facts to fail_json; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

import typing as t


class DrystoneError(Exception):
    """Something that stops the work, told so that the reader knows what to do next.

    The message says what was being done, on which object, what was seen and what to do. The facts are the same as data.
    """

    def __init__(self, msg: str, **facts: t.Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.facts = facts


class InvalidInput(DrystoneError):
    """What the user gave cannot be right, whatever the state of the world."""


class UnknownKind(InvalidInput):
    """The API server serves no such kind."""


class ApiUnavailable(DrystoneError):
    """No usable answer came back: nobody listens, the connection broke, or the server stayed overloaded."""


class ApiError(DrystoneError):
    """The API server answered, and its answer is an error."""

    def __init__(self, msg: str, *, status: int, reason: str = "", **facts: t.Any) -> None:
        super().__init__(msg, status=status, reason=reason, **facts)
        self.status = status
        self.reason = reason


class Conflict(DrystoneError):
    """Another field manager owns a field that would be changed."""


class NotReady(DrystoneError):
    """Something did not become ready before the deadline."""


class Refused(DrystoneError):
    """The thing exists and is not ours to touch."""


class CommandFailed(DrystoneError):
    """A command ended with an error."""


class RemoteFailed(CommandFailed):
    """A Git server did not give what was asked of it; the classes below say why, and so does the fact reason."""

    reason = "remote_failed"

    def __init__(self, msg: str, **facts: t.Any) -> None:
        super().__init__(msg, reason=self.reason, **facts)


class PermissionDenied(RemoteFailed):
    """The server does not accept the SSH key: it is wrong, withdrawn or not yet authorised."""

    reason = "permission_denied"


class AuthenticationFailed(RemoteFailed):
    """The server answered 401 or 403 over HTTPS: wrong or expired token or password, or no right to the repository."""

    reason = "authentication_failed"


class HostKeyMissing(RemoteFailed):
    """No known host key is the server's."""

    reason = "host_key_missing"


class HostKeyChanged(RemoteFailed):
    """The server shows another host key than the one that is known."""

    reason = "host_key_changed"


class TlsNotTrusted(RemoteFailed):
    """The server's certificate is not trusted, not valid any more or not for this name."""

    reason = "tls_not_trusted"


class RemoteUnavailable(RemoteFailed):
    """Nothing usable answers where the server should be."""

    reason = "remote_unavailable"


class RepositoryNotFound(RemoteFailed):
    """The server has no such repository, or none that this credential may see."""

    reason = "repository_not_found"


class RefNotFound(RemoteFailed):
    """The repository has no such branch, tag or commit."""

    reason = "ref_not_found"


class WriteAllowed(RemoteFailed):
    """A credential that is to read only may write."""

    reason = "write_allowed"


class FetchFailed(DrystoneError):
    """A file or an image could not be had from where it is published, or is not what it should be."""
