# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private repository with content, commits and bundles for a remote. PRIVATE to the collection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import last_words
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import AUTHOR, Git

TRAILER = "Drystone-Content"


class Repository(Git):
    """A private repository in which commits are created."""

    def tree_of_directory(self, path: str) -> str:
        """Add the files of a directory except those that its .gitignore files exclude, and return the tree."""
        doing = f"Reading {path}"
        self.run("read-tree", "--empty", doing=doing, index="index.content")
        self.run("add", "--all", "--", ".", doing=doing, work_tree=path, index="index.content")
        return self.run("write-tree", doing=doing, index="index.content")

    def subtree(self, commit: str, prefix: str) -> str | None:
        """Return the tree of a commit, or the tree at a prefix of it, or None if there is none."""
        if not prefix:
            return self.run("rev-parse", f"{commit}^{{tree}}", doing=f"Reading commit {commit[:12]}")
        found = self.run("ls-tree", "-d", commit, "--", prefix, doing=f"Reading {prefix} of commit {commit[:12]}")
        match = re.match(r"\d+ tree ([0-9a-f]+)\t", found)
        return match[1] if match else None

    def commit(self, parent: str | None, tree: str, prefix: str, message: str) -> str:
        """Create a commit that contains the tree at the prefix and the rest of its parent."""
        doing = "Making a commit"
        whole = tree
        if prefix:
            # Index operations with paths require a work tree, but do not change files in it.
            run = partial(self.run, doing=doing, index="index.commit", work_tree=self.directory)
            run("read-tree", parent or "--empty")
            run("rm", "-r", "--cached", "--quiet", "--ignore-unmatch", "--", prefix)
            run("read-tree", f"--prefix={prefix}/", tree)
            whole = run("write-tree")
        parents = ["-p", parent] if parent else []
        return self.run("commit-tree", whole, *parents, doing=doing, text=f"{message}\n\n{TRAILER}: {tree}\n")

    def last_own_commit(self, head: str) -> tuple[str, str] | None:
        """Return the newest commit of Drystone and the tree in its trailer."""
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
        """Return the number of commits by which the newer commit is ahead."""
        return int(self.run("rev-list", "--count", f"{older}..{newer}", doing="Counting commits"))

    def changed_paths(self, before: str | None, after: str, prefix: str) -> list[str]:
        """Return the differences between two trees, one line each with the kind of change."""
        empty = self.run("hash-object", "-t", "tree", "-w", "--stdin", doing="Comparing content", text="")
        listed = self.run(
            "diff-tree", "-r", "--no-renames", "--name-status", before or empty, after, doing="Comparing content"
        )
        folder = f"{prefix}/" if prefix else ""
        return [f"{line[0]} {folder}{line[1:].strip()}" for line in listed.splitlines()]

    def mirror(self) -> dict[str, str]:
        """Fetch all refs of the remote with their names, and return them."""
        doing = f"Reading every ref of {self.remote.url}"
        self.run("fetch", "--quiet", "--no-tags", "--", self.remote.url, "+refs/*:refs/*", doing=doing)
        return self.own_refs(doing)

    def own_refs(self, doing: str, below: str = "refs/") -> dict[str, str]:
        """Return the refs of this repository below a prefix, by their names on the remote."""
        listed = self.run("for-each-ref", "--format=%(objectname) %(refname)", below, doing=doing)
        pairs = (line.partition(" ") for line in listed.splitlines())
        return {f"refs/{name.removeprefix(below)}": found for found, _space, name in pairs}

    def bundle(self, path: str) -> None:
        """Write all refs with their history to a bundle file, and HEAD, so that the file can be cloned."""
        doing = f"Writing the Git bundle {path}"
        self.run("symbolic-ref", "HEAD", f"refs/heads/{self.remote.branch}", doing=doing)
        self.run("bundle", "create", "--quiet", path, "--all", doing=doing)

    def unbundle(self, path: str, below: str) -> dict[str, str]:
        """Fetch all refs of a bundle file below a prefix, and return them by their names in the bundle.

        This reads the whole file, which must contain all objects that a ref needs.
        """
        doing = f"Reading the Git bundle {path}"
        try:
            self.run("bundle", "verify", "--quiet", path, doing=doing)
            self.run("fetch", "--quiet", "--no-tags", "--", path, f"+refs/*:{below}*", doing=doing)
        except CommandFailed as error:
            # Do not classify messages about a file as messages of a server.
            stderr = str(error.facts.get("stderr", ""))
            raise CommandFailed(f"{doing}: {last_words(stderr)}.", stderr=stderr) from error
        return self.own_refs(doing, below)

    def lacks(self, wanted: Iterable[str], have: Iterable[str]) -> bool:
        """Return whether a wanted object or a part of its history is missing in the history of the given objects."""
        revisions = "".join(f"{one}\n" for one in [*wanted, *(f"^{one}" for one in have)])
        doing = "Comparing histories"
        return bool(self.run("rev-list", "--objects", "--max-count=1", "--stdin", doing=doing, text=revisions))

    def push_refs(self, below: str, names: Iterable[str]) -> None:
        """Push refs below a prefix to the remote with the given names, atomically."""
        specs = [f"{below}{name.removeprefix('refs/')}:{name}" for name in names]
        doing = f"Pushing {len(specs)} refs to {self.remote.url}"
        self.run("push", "--quiet", "--atomic", "--", self.remote.url, *specs, doing=doing)
