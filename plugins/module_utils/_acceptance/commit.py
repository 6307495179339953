# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit that an acceptance test makes and takes back. PRIVATE to the collection.

The line that it appends carries a mark. A run that was killed leaves the line, and the next run removes it first.
"""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote

MARK = "drystone-acceptance"
_ATTEMPTS = 3


@dataclass(frozen=True)
class Change:
    """A pushed commit, and the function that takes it back."""

    commit: str
    undo: Callable[[], t.Any]


def pushed_line(remote: Remote, path: str, line: str, subject: str) -> Change:
    """Append the line to a file at the head of the branch and push the commit.

    Remove lines that an earlier run left. Raise InvalidInput for a line without the mark and for a missing file.
    """
    if MARK not in line:
        raise InvalidInput(f"The line {line!r} does not contain {MARK}, so a later run could not remove it.")

    def undo() -> None:
        _push(remote, path, _without_mark, f"Revert: {subject}")

    commit = _push(remote, path, lambda text: f"{_without_mark(text)}{line}\n", subject)
    return Change(commit, undo)


def _without_mark(text: str) -> str:
    kept = "".join(line for line in text.splitlines(keepends=True) if MARK not in line)
    return kept if kept.endswith("\n") or not kept else f"{kept}\n"


def _push(remote: Remote, path: str, change: Callable[[str], str], subject: str) -> str:
    """Push a commit that changes one file, and return it; without a change, return the head."""
    for attempt in range(1, _ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
            git = Git(remote, directory)
            head = git.fetch()
            doing = f"Changing {path} of {remote.url}"
            if head is None:
                raise InvalidInput(f"{doing}: the branch {remote.branch} does not exist.")
            if not git.run("ls-tree", head, "--", path, doing=doing):
                raise InvalidInput(f"{doing}: the branch {remote.branch} has no such file.")
            # The output of git.run ends without line breaks; files of text end with one.
            text = git.run("show", f"{head}:{path}", doing=doing) + "\n"
            changed = change(text)
            if changed == text:
                return head
            blob = git.run("hash-object", "-w", "--stdin", doing=doing, text=changed)
            mode = git.run("ls-tree", head, "--", path, doing=doing).partition(" ")[0]
            git.run("read-tree", head, doing=doing, index="index.change")
            git.run("update-index", "--cacheinfo", f"{mode},{blob},{path}", doing=doing, index="index.change")
            tree = git.run("write-tree", doing=doing, index="index.change")
            commit = git.run("commit-tree", tree, "-p", head, doing=doing, text=f"{subject}\n")
            try:
                git.push(commit)
            except CommandFailed as error:
                # Somebody else pushed first, so start again from the new head.
                if attempt == _ATTEMPTS or isinstance(error, RemoteUnavailable):
                    raise
                continue
            return commit
    raise AssertionError("unreachable")
