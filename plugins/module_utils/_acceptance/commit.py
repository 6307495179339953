# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit that an acceptance test makes and takes back. PRIVATE to the collection.

The line that it appends carries a mark. A run that was killed leaves the line, and the next run removes it first.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from contextlib import ExitStack

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, Remote

MARK = "drystone-acceptance"
_ATTEMPTS = 3


class Taken(InvalidInput):
    """The file has the key of the line already. A second one would replace or break it."""


def push_line(remote: Remote, path: str, line: str, subject: str, undo: ExitStack) -> str:
    """Append the line to a file at the head of the branch and push the commit. The stack takes it back when it closes.

    Remove lines that an earlier run left; an empty line does only this. Raise InvalidInput for a line without the mark,
    for a missing file, and for a file that is not plain text. Raise Taken for a file that has the key of the line.
    """
    if line and MARK not in line:
        raise InvalidInput(f"The line {line!r} does not contain {MARK}, so a later run could not remove it.")

    def change(text: str) -> str:
        kept = _without_mark(text)
        if (key := re.match(r"\w+:", line)) and re.search(rf"^{key[0]}", kept, re.MULTILINE):
            raise Taken(f"Changing {path} of {remote.url}: it has the key {key[0]} already, so it was not changed.")
        return f"{kept}{line}\n" if line else kept

    if line:
        # Registered before the push: a push whose answer is lost must be taken back as well.
        undo.callback(_push, remote, path, _without_mark, f"Revert: {subject}")
    return _push(remote, path, change, subject)


def _without_mark(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if MARK not in line)


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
            mode, _kind, old = git.run("ls-tree", head, "--", path, doing=doing).partition("\t")[0].split()
            text = git.run("cat-file", "blob", old, doing=doing) + "\n"
            if git.run("hash-object", "--stdin", doing=doing, text=text) != old:
                raise InvalidInput(
                    f"{doing}: this file is not text in UTF-8 that ends with one line break, so it was not changed."
                )
            changed = change(text)
            if changed == text:
                return head
            blob = git.run("hash-object", "-w", "--stdin", doing=doing, text=changed)
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
