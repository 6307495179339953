# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and write the releases: files that name the commit of each workload of an environment. PRIVATE.

The ApplicationSet of the role workloads reads these files. A workload without such a file follows the branch.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git

FOLDER = "releases"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REVISION = re.compile(r"^revision: *['\"]?([0-9a-f]{40})['\"]? *$", re.MULTILINE)


@dataclass(frozen=True, order=True)
class Target:
    """A workload in an environment."""

    environment: str
    workload: str

    def __post_init__(self) -> None:
        for what, name in (("environment", self.environment), ("workload", self.workload)):
            if not _NAME.fullmatch(name):
                raise InvalidInput(
                    f"{name!r} cannot be the {what}: a name has lowercase letters, digits, - and ., such as greeter."
                )

    def __str__(self) -> str:
        return f"{self.workload} in {self.environment}"

    @property
    def path(self) -> str:
        """The file that names the commit."""
        return f"{FOLDER}/{self.environment}/{self.workload}.yaml"

    @property
    def folder(self) -> str:
        """The folder with the differences of the environment."""
        return f"deploy/environments/{self.environment}/{self.workload}"

    def text(self, revision: str) -> str:
        """Return the content of the file for a commit, a full hash."""
        if not _COMMIT.fullmatch(revision):
            raise InvalidInput(f"Releasing {self}: {revision!r} is not the full hash of a commit.")
        return (
            f"---\n# Argo CD deploys this commit of deploy/ as {self}. promote.yml and rollback.yml change it.\n"
            f"revision: {revision}\n"
        )


def revision_of(text: str, path: str) -> str:
    """Return the commit in the content of a file."""
    found = _REVISION.search(text)
    if not found:
        raise InvalidInput(
            f"{path} names no commit. It must contain one line such as revision: {'0' * 40}. Correct it with a commit, "
            "or remove the file to follow the branch again."
        )
    return found[1]


def read(git: Git, commit: str) -> dict[Target, str]:
    """Return the commit of each workload that has a release at a commit of the branch."""
    doing = f"Reading {FOLDER} of commit {commit[:12]}"
    listed = git.run("ls-tree", "-r", "-z", "--name-only", commit, "--", f"{FOLDER}/", doing=doing)
    found = {}
    for path in listed.split("\0"):
        match = re.fullmatch(rf"{FOLDER}/([^/]+)/([^/]+)\.yaml", path)
        if match and _NAME.fullmatch(match[1]) and _NAME.fullmatch(match[2]):
            text = git.run("cat-file", "blob", f"{commit}:{path}", doing=doing)
            found[Target(match[1], match[2])] = revision_of(text, path)
    return found
