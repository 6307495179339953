# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Content, commits and bundles of a private repository on their way to a remote. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from functools import partial

from ansible_collections.drystone.platform.plugins.module_utils._git.remote import AUTHOR, Git

TRAILER = "Drystone-Content"


class Repository(Git):
    """A private repository in which commits are made."""

    def tree_of_directory(self, path: str) -> str:
        """Store what lies in a directory, minus what its .gitignore files leave out, and return the tree."""
        doing = f"Reading {path}"
        self.run("read-tree", "--empty", doing=doing, index="index.content")
        self.run("add", "--all", "--", ".", doing=doing, work_tree=path, index="index.content")
        return self.run("write-tree", doing=doing, index="index.content")

    def subtree(self, commit: str, prefix: str) -> str | None:
        """The tree that lies under a prefix of a commit, the whole of it without one; None if there is none."""
        if not prefix:
            return self.run("rev-parse", f"{commit}^{{tree}}", doing=f"Reading commit {commit[:12]}")
        found = self.run("ls-tree", "-d", commit, "--", prefix, doing=f"Reading {prefix} of commit {commit[:12]}")
        match = re.match(r"\d+ tree ([0-9a-f]+)\t", found)
        return match[1] if match else None

    def commit(self, parent: str | None, tree: str, prefix: str, message: str) -> str:
        """Make a commit that has the tree under the prefix and else what its parent has."""
        doing = "Making a commit"
        whole = tree
        if prefix:
            # Index operations with paths want a work tree; none of these touches a file in it.
            run = partial(self.run, doing=doing, index="index.commit", work_tree=self.directory)
            run("read-tree", parent or "--empty")
            run("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", prefix)
            run("read-tree", f"--prefix={prefix}/", tree)
            whole = run("write-tree")
        parents = ["-p", parent] if parent else []
        return self.run("commit-tree", whole, *parents, doing=doing, text=f"{message}\n\n{TRAILER}: {tree}\n")

    def last_own_commit(self, head: str) -> tuple[str, str] | None:
        """Find the newest commit that was made here: itself and the tree it says it brought."""
        shown = self.run(
            "log",
            "--max-count=1",
            f"--author=^{AUTHOR}$",
            f"--grep=^{TRAILER}: ",
            f"--format=%H %(trailers:key={TRAILER},valueonly,separator=)",
            head,
            doing=f"Reading the history of {self.remote.url}",
        )
        commit, _space, tree = shown.partition(" ")
        return (commit, tree.strip()) if tree else None

    def count(self, older: str, newer: str) -> int:
        """How many commits the newer one is ahead of the older one."""
        return int(self.run("rev-list", "--count", f"{older}..{newer}", doing="Counting commits"))

    def changed_paths(self, before: str | None, after: str, prefix: str) -> list[str]:
        """Name what differs between two trees, each line with its kind of change."""
        empty = self.run("hash-object", "-t", "tree", "-w", "--stdin", doing="Comparing content", text="")
        listed = self.run(
            "diff-tree", "-r", "--no-renames", "--name-status", before or empty, after, doing="Comparing content"
        )
        folder = f"{prefix}/" if prefix else ""
        return [f"{line[0]} {folder}{line[1:].strip()}" for line in listed.splitlines()]

    def unbundle(self, path: str) -> str:
        """Fetch the branch out of a bundle file."""
        doing = f"Reading the Git bundle {path}"
        self.run("bundle", "verify", "--quiet", path, doing=doing)
        self.run("fetch", "--quiet", path, f"+refs/heads/{self.remote.branch}:refs/drystone/bundle", doing=doing)
        return self.run("rev-parse", "refs/drystone/bundle", doing=doing)

    def bundle(self, head: str, path: str) -> None:
        """Write the branch with its history to a bundle file."""
        doing = f"Writing the Git bundle {path}"
        reference = f"refs/heads/{self.remote.branch}"
        self.run("update-ref", reference, head, doing=doing)
        self.run("bundle", "create", "--quiet", path, reference, doing=doing)

    def bundled_head(self, path: str) -> str | None:
        """The branch's commit in a bundle file; None if there is no such file or branch."""
        if not os.path.isfile(path):
            return None
        listed = self.run("bundle", "list-heads", path, doing=f"Reading the Git bundle {path}", accept=(0, 1, 128))
        for line in listed.splitlines():
            commit, _space, reference = line.partition(" ")
            if reference == f"refs/heads/{self.remote.branch}":
                return commit
        return None
