# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seed a Git repository from a directory without overwriting commits of others. PRIVATE to the collection."""

from __future__ import annotations

import os
import tempfile
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.repository import Repository

# The prefix of a bundle's refs in the private repository
_BUNDLE = "refs/drystone/bundle/"


@dataclass
class Outcome:
    """The change that was or would be made, and its commits."""

    action: str
    msg: str
    revision: str | None = None
    before: str | None = None
    own: str | None = None
    ahead: int = 0
    paths: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether the repository changes."""
        return self.action in {"seeded", "restored", "pushed"}

    def facts(self) -> dict[str, t.Any]:
        """Return the outcome as the result of a module."""
        return {
            "changed": self.changed,
            "action": self.action,
            "msg": self.msg,
            "revision": self.revision,
            "before": self.before,
            "own": self.own,
            "ahead": self.ahead,
            "paths": self.paths,
        }


def seed(remote: Remote, *, source: str | None, prefix: str, subject: str, bundle: str | None, check: bool) -> Outcome:
    """Push the content of a directory to a repository, unless somebody else changed the content there."""
    if source is None:
        return _restore(remote, bundle, check)
    if not os.path.isdir(source):
        raise InvalidInput(f"Seeding {remote.url}: the source {source} is not a directory. Check its path.")
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Repository(remote, directory)
        tree = git.tree_of_directory(os.path.realpath(source))
        if not git.changed_paths(None, tree, prefix):
            raise InvalidInput(f"Seeding {remote.url}: the source {source} is empty. Check its path.")
        head = git.fetch()
        restored = _kept(git, bundle) if head is None else {}
        head = head or restored.get(f"refs/heads/{remote.branch}")
        outcome = _decide(git, head, tree, prefix)
        if outcome.action in {"seeded", "pushed"}:
            outcome.revision = None
            if not check:
                outcome.revision = git.commit(head, tree, prefix, subject)
                outcome.own = outcome.revision
        made = outcome.action in {"seeded", "pushed"}
        if restored:
            outcome.action, outcome.before = "restored", None
            outcome.msg = f"{_told(restored, bundle)} {outcome.msg}"
        if not check:
            if restored:
                git.push_refs(_BUNDLE, restored)
            if made:
                git.push(outcome.revision or "")
        return outcome


def _restore(remote: Remote, bundle: str | None, check: bool) -> Outcome:
    """Restore the history of an empty repository from its bundle, if there is one."""
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Repository(remote, directory)
        where = f"{remote.url} ({remote.branch})"
        if head := git.fetch():
            return Outcome("unchanged", f"{where} is at {head[:12]}.", revision=head, before=head)
        restored = _kept(git, bundle)
        if not restored:
            return Outcome("unchanged", f"{where} is empty, and there is no source.")
        if not check:
            git.push_refs(_BUNDLE, restored)
        return Outcome("restored", _told(restored, bundle), restored.get(f"refs/heads/{remote.branch}"))


def _kept(git: Repository, bundle: str | None) -> dict[str, str]:
    """Return the refs of the bundle that the remote does not have, or none without a bundle."""
    if not bundle or not os.path.isfile(bundle):
        return {}
    there = git.refs()
    try:
        kept = git.unbundle(bundle, _BUNDLE)
    except CommandFailed as error:
        raise CommandFailed(
            f"{error.msg} This file contains the history of {git.remote.url}. Replace it with a readable copy, or "
            "move it away to start without that history.",
            **error.facts,
        ) from error
    return {name: found for name, found in kept.items() if name not in there}


def _told(restored: dict[str, str], bundle: str | None) -> str:
    return f"Restores {len(restored)} branches, tags and other refs from {bundle}."


def _decide(git: Repository, head: str | None, tree: str, prefix: str) -> Outcome:
    where = f"{git.remote.url} ({git.remote.branch})"
    if head is None:
        paths = git.changed_paths(None, tree, prefix)
        return Outcome("seeded", f"{where} is empty and gets its first commit with {len(paths)} files.", paths=paths)
    there = git.subtree(head, prefix)
    own = git.last_own_commit(head)
    ahead = git.count(own[0], head) if own else 0
    outcome = Outcome("unchanged", "", revision=head, before=head, own=own[0] if own else None, ahead=ahead)
    if there == tree:
        outcome.msg = f"{where} already has the content of this checkout at {head[:12]}."
    elif own and own[1] == there:
        # Later commits did not change the content, so this push does not overwrite changes of others.
        outcome.action = "pushed"
        outcome.paths = git.changed_paths(there, tree, prefix)
        outcome.msg = f"{where} gets {len(outcome.paths)} changed files on top of {head[:12]}."
    elif own and own[1] == tree:
        outcome.msg = (
            f"{where} is at {head[:12]}, {ahead} commits ahead of {own[0][:12]}, the last one from this checkout, "
            "whose content has not changed since. There is nothing to push."
        )
    else:
        outcome.action = "diverged"
        outcome.paths = git.changed_paths(there, tree, prefix)
        last = f"the last commit from this checkout is {own[0]}" if own else "none of its commits is from this checkout"
        outcome.msg = (
            f"{where} has changes of others and was not changed: its head is {head}, {last}, and this checkout differs "
            f"in {len(outcome.paths)} files. To combine both, clone the repository, merge your changes, and push."
        )
    return outcome
