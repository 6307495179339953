# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what a Git repository gets from a directory, and what is not ours to overwrite. PRIVATE to the collection."""

from __future__ import annotations

import os
import tempfile
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.repository import Repository

# Where the refs of a bundle lie in the private repository
_BUNDLE = "refs/drystone/bundle/"


@dataclass
class Outcome:
    """What was done, or would be, and the commits it is about."""

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
        """The outcome as a module returns it."""
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
    """Bring the content of a directory into a repository, unless commits made there are in the way."""
    if source is None:
        return _restore(remote, bundle, check)
    if not os.path.isdir(source):
        raise InvalidInput(f"The source {source} is no directory, so {remote.url} cannot be seeded from it.")
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Repository(remote, directory)
        tree = git.tree_of_directory(os.path.realpath(source))
        if not git.changed_paths(None, tree, prefix):
            raise InvalidInput(f"The source {source} is empty, so {remote.url} cannot be seeded from it.")
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
    """Give an empty repository its history back, if it was kept."""
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Repository(remote, directory)
        where = f"{remote.url} ({remote.branch})"
        if head := git.fetch():
            return Outcome("unchanged", f"{where} is at {head[:12]}.", revision=head, before=head)
        restored = _kept(git, bundle)
        if not restored:
            return Outcome("unchanged", f"{where} is empty, and nothing is to be brought.")
        if not check:
            git.push_refs(_BUNDLE, restored)
        return Outcome("restored", _told(restored, bundle), restored.get(f"refs/heads/{remote.branch}"))


def _kept(git: Repository, bundle: str | None) -> dict[str, str]:
    """Read the refs of a bundle that the remote does not have; none where there is no bundle."""
    if not bundle or not os.path.isfile(bundle):
        return {}
    there = git.refs()
    try:
        kept = git.unbundle(bundle, _BUNDLE)
    except CommandFailed as error:
        raise CommandFailed(
            f"{error.msg} This file has the history of {git.remote.url}. Put a readable copy in its place, or "
            "move it away to begin without that history.",
            **error.facts,
        ) from error
    return {name: found for name, found in kept.items() if name not in there}


def _told(restored: dict[str, str], bundle: str | None) -> str:
    return f"The history of {len(restored)} branches, tags and other refs comes back from {bundle}."


def _decide(git: Repository, head: str | None, tree: str, prefix: str) -> Outcome:
    where = f"{git.remote.url} ({git.remote.branch})"
    if head is None:
        paths = git.changed_paths(None, tree, prefix)
        return Outcome("seeded", f"{where} is empty and gets its first commit: {len(paths)} files.", paths=paths)
    there = git.subtree(head, prefix)
    own = git.last_own_commit(head)
    ahead = git.count(own[0], head) if own else 0
    outcome = Outcome("unchanged", "", revision=head, before=head, own=own[0] if own else None, ahead=ahead)
    if there == tree:
        outcome.msg = f"{where} has the content of this checkout at {head[:12]}."
    elif own and own[1] == there:
        # Whatever was committed since left the content as it was brought, so nothing of anybody's is overwritten.
        outcome.action = "pushed"
        outcome.paths = git.changed_paths(there, tree, prefix)
        outcome.msg = f"{where} gets {len(outcome.paths)} changed files on top of {head[:12]}."
    elif own and own[1] == tree:
        outcome.msg = (
            f"{where} is at {head[:12]}, {ahead} commits ahead of {own[0][:12]}, the last one from this checkout, "
            "which has not changed since. Nothing to push."
        )
    else:
        outcome.action = "diverged"
        outcome.paths = git.changed_paths(there, tree, prefix)
        last = f"the last commit from here is {own[0]}" if own else "no commit of it came from here"
        outcome.msg = (
            f"{where} has moved on and is left alone: its head is {head}, {last}, and this checkout differs from it in "
            f"{len(outcome.paths)} files. To have both, clone the repository, merge, and push there."
        )
    return outcome
