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


class FetchFailed(DrystoneError):
    """A file or an image could not be had from where it is published, or is not what it should be."""
