# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a step of an acceptance test saw. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

_MOST_LINES = 20
_LONGEST = 300


@dataclass
class Seen:
    """The result of a step.

    lines are sentences or output; table has a list of cells for each row, after one with the names of the columns;
    series has one dictionary for each curve with its name and points [seconds since 1970, value]; picture is the path
    of a file.
    """

    holds: bool
    lines: list[str] = field(default_factory=list)
    table: list[list[str]] = field(default_factory=list)
    series: list[dict[str, t.Any]] = field(default_factory=list)
    unit: str = ""
    picture: str = ""

    def facts(self) -> dict[str, t.Any]:
        """Return the observation as data."""
        return {
            "holds": self.holds,
            "seen": shorten(self.lines),
            "table": self.table,
            "series": self.series,
            "unit": self.unit,
            "picture": self.picture,
        }


def shorten(lines: list[str]) -> list[str]:
    """Return the first lines, each with a limited length."""
    kept = [line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..." for line in lines[:_MOST_LINES]]
    omitted = len(lines) - _MOST_LINES
    return kept + ([f"... and {omitted} more lines"] if omitted > 0 else [])


def cell(value: t.Any) -> str:
    """Return a value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{key}={cell(one)}" for key, one in sorted(value.items()))
    return str(value)
