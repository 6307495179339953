# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide the next version of hello and write its changelog. Nothing here reads files or runs programs."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .programs import ReleaseError

# What a commit does to the version, in ascending order. A commit without the trailer counts as UNSAID.
STEPS = ("none", "patch", "minor", "major")
UNSAID = "minor"
TRAILER = "Release"
TAG_PREFIX = "hello-v"
HEADING = "# Changes of hello\n"


class Version(t.NamedTuple):
    """A semantic version without a suffix."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version | None:
        """Return the version that a text is, or nothing."""
        found = re.fullmatch(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", text)
        return cls(*map(int, found.groups())) if found else None

    def after(self, step: str) -> Version:
        """Return the next version."""
        if step == "major":
            return Version(self.major + 1, 0, 0)
        if step == "minor":
            return Version(self.major, self.minor + 1, 0)
        return Version(self.major, self.minor, self.patch + 1)

    @property
    def tag(self) -> str:
        """The name of the version's tag."""
        return f"{TAG_PREFIX}{self}"

    @property
    def branch(self) -> str:
        """The branch of the pull request that deploys the version."""
        return f"release/hello-{self}"

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


@dataclass(frozen=True)
class Commit:
    """A commit that changes the image."""

    hash: str
    subject: str
    trailer: str  # the values of the trailer, separated by commas

    @property
    def step(self) -> str:
        """What the commit does to the version."""
        values = [value.strip() for value in self.trailer.split(",") if value.strip()]
        if not values:
            return UNSAID
        if len(values) > 1 or values[0] not in STEPS:
            raise ReleaseError(
                f'Cannot decide the next version: commit {self.hash[:12]} ("{self.subject}") has the trailer '
                f'"{TRAILER}: {self.trailer}". It may have one, with one of these values: {", ".join(STEPS)}. '
                f"If the commit cannot be changed any more, push the tag {TAG_PREFIX}<version> yourself and run again."
            )
        return values[0]


def next_version(last: Version | None, file: Version, commits: t.Sequence[Commit]) -> Version | None:
    """Return the version after the last one, or nothing if no commit needs one.

    The first version is that of app/hello/VERSION. Later, a higher version in that file wins.
    """
    if last is None:
        return file
    step = max((commit.step for commit in commits), key=STEPS.index, default="none")
    return None if step == "none" else max(last.after(step), file)


def notes(commits: t.Sequence[Commit]) -> str:
    """Return the list of changes."""
    return (
        "".join(f"- {commit.subject}\n" for commit in commits if commit.trailer.strip() != "none")
        or "- First release\n"
    )


def with_entry(changelog: str, version: Version, date: str, changes: str) -> str:
    """Return the changelog with an entry for the version at its top."""
    older = changelog.removeprefix(HEADING).lstrip("\n")
    return f"{HEADING}\n## {version} ({date})\n\n{changes}" + (f"\n{older}" if older else "")
