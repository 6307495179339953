# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exception tree of the collection. PRIVATE to the collection.

A module's main() catches DrystoneError once and passes its message and facts to fail_json. Any other exception is a bug
and keeps its traceback.
"""

from __future__ import annotations

import typing as t


class DrystoneError(Exception):
    """An error that the user can act on.

    The message states the operation, the object, the observation and the remedy. The facts contain the same as data.
    """

    def __init__(self, msg: str, **facts: t.Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.facts = facts


class InvalidInput(DrystoneError):
    """The user's input is invalid, regardless of the state of the cluster and the host."""


class UnknownKind(InvalidInput):
    """The API server does not serve this kind."""


class ApiUnavailable(DrystoneError):
    """There was no usable response: no server listens, the connection broke, or the server stayed overloaded."""


class ApiError(DrystoneError):
    """The API server returned an error."""

    def __init__(self, msg: str, *, status: int, reason: str = "", **facts: t.Any) -> None:
        super().__init__(msg, status=status, reason=reason, **facts)
        self.status = status
        self.reason = reason


class Conflict(DrystoneError):
    """Another field manager owns a field that the module would change."""


class NotReady(DrystoneError):
    """Something did not become ready before the deadline."""


class Refused(DrystoneError):
    """The object exists, but Drystone did not create it and must not change it."""


class CommandFailed(DrystoneError):
    """A command failed."""


class FetchFailed(DrystoneError):
    """A file or an image could not be downloaded, or its verification failed."""
