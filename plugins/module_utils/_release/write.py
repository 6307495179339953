# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change releases by one commit, without overwriting the work of others. PRIVATE to the collection.

A push is atomic: the branch has the whole commit or nothing. If the server disappears during a push, the branch is read
again to learn whether it has the commit.
"""

from __future__ import annotations

import re
import tempfile
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput, Refused
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Author, Git, Remote
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, read

# Trailers of the commit message, from which the history is read
TRAILER = "Drystone-Release"
_ATTEMPTS = 5
# What git prints when somebody else pushed first
OVERTAKEN = re.compile(r"fetch first|non-fast-forward|cannot lock ref|stale info|failed to update ref|\[rejected\]")


@dataclass
class Outcome:
    """The change that was or would be made."""

    changed: bool
    msg: str
    head: str
    commit: str | None = None
    branch: str | None = None
    before: dict[Target, str | None] = field(default_factory=dict)
    after: dict[Target, str | None] = field(default_factory=dict)

    def facts(self) -> dict[str, t.Any]:
        """Return the outcome as the result of a module."""
        return {
            "changed": self.changed,
            "msg": self.msg,
            "head": self.head,
            "commit": self.commit,
            "pushed_branch": self.branch,
            "previous": _by_name(self.before),
        }

    def diff(self) -> dict[str, t.Any]:
        """Return the change in Ansible's diff format."""
        return {"before": _by_name(self.before), "after": _by_name(self.after)}


def _by_name(releases: t.Mapping[Target, str | None]) -> dict[str, str | None]:
    return {f"{target.environment}/{target.workload}": revision for target, revision in releases.items()}


@dataclass(frozen=True)
class Request:
    """The wanted releases: a full hash for each target, or None to follow the branch.

    expected has the releases on which the decision was based: None for a target without a release. A target that is
    missing there may have any release. With only_missing, targets that have a release are not changed. branch is the
    name of a new branch for a pull request.
    """

    wanted: t.Mapping[Target, str | None]
    message: str
    author: Author
    expected: t.Mapping[Target, str | None] = field(default_factory=dict)
    only_missing: bool = False
    branch: str | None = None


def release(remote: Remote, request: Request, *, check: bool) -> Outcome:
    """Push one commit with the wanted releases, unless the branch has them already.

    Raise Refused if somebody else changed a target meanwhile, and InvalidInput for a commit that is not on the branch.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
            git = Git(remote, directory)
            outcome = _plan(git, request)
            if not outcome.changed or check:
                return outcome
            outcome.commit = _commit(git, outcome, request)
            try:
                _push(git, outcome.commit, request.branch)
            except CommandFailed as error:
                if isinstance(error, RemoteUnavailable) and _arrived(remote, outcome.commit, request.branch):
                    return outcome
                if attempt == _ATTEMPTS or not OVERTAKEN.search(str(error.facts.get("stderr", ""))):
                    raise
                continue
            return outcome
    raise AssertionError("unreachable")


def _plan(git: Git, request: Request) -> Outcome:
    names = ", ".join(str(target) for target in request.wanted)
    head = git.fetch()
    where = f"{git.remote.url} ({git.remote.branch})"
    if head is None:
        raise InvalidInput(f"Releasing {names}: {where} is empty. Run `make up`, or push a first commit.")
    there = read(git, head)
    for target, expected in request.expected.items():
        if there.get(target) != expected and there.get(target) != request.wanted.get(target):
            raise Refused(
                f"Releasing {target}: somebody else changed its release meanwhile, from {_short(expected)} to "
                f"{_short(there.get(target))}, so nothing was changed. Look at the history, and start again."
            )
    changes = {
        target: revision
        for target, revision in request.wanted.items()
        if there.get(target) != revision and not (request.only_missing and target in there)
    }
    for target, revision in changes.items():
        if revision is not None and not _has(git, revision, head):
            raise InvalidInput(
                f"Releasing {target}: commit {revision} is not in the history of {where}. Choose one of its commits."
            )
    before = {target: there.get(target) for target in request.wanted}
    if changes and request.branch and (pushed := _branch(git, request.branch)):
        return _pushed_before(git, request, pushed, head, before)
    if not changes:
        return Outcome(False, f"{where} already has this release of {names}.", head, before=before, after=before)
    said = ", ".join(f"{target} at {_short(revision)}" for target, revision in changes.items())
    return Outcome(
        True,
        f"{where} gets {said}.",
        head,
        branch=request.branch or git.remote.branch,
        before=before,
        after={**before, **changes},
    )


def _branch(git: Git, branch: str) -> str | None:
    """Fetch a branch and return its head, or None if it does not exist."""
    name = f"refs/heads/{branch}"
    if name not in git.refs():
        return None
    doing = f"Reading branch {branch} of {git.remote.url}"
    git.run("fetch", "--quiet", "--no-tags", "--", git.remote.url, f"+{name}:refs/drystone/pushed", doing=doing)
    return git.run("rev-parse", "refs/drystone/pushed", doing=doing)


def _pushed_before(git: Git, request: Request, pushed: str, head: str, before: dict[Target, str | None]) -> Outcome:
    """Accept a branch of an earlier run with the same releases. Raise Refused for any other content."""
    there = read(git, pushed)
    if any(there.get(target) != revision for target, revision in request.wanted.items()):
        raise Refused(
            f"The branch {request.branch} of {git.remote.url} exists with another content, so nothing was changed. "
            "Merge or delete it."
        )
    msg = f"The branch {request.branch} of {git.remote.url} already has this release."
    return Outcome(False, msg, head, branch=request.branch, before=before, after=before)


def _short(revision: str | None) -> str:
    return revision[:12] if revision else "the head of the branch"


def _has(git: Git, revision: str, head: str) -> bool:
    doing = f"Looking for commit {revision[:12]}"
    if git.run("cat-file", "-t", revision, doing=doing, accept=(0, 128)) != "commit":
        return False
    # The merge base is the commit itself if it is an ancestor.
    return git.run("merge-base", revision, head, doing=doing, accept=(0, 1)) == revision


def _commit(git: Git, outcome: Outcome, request: Request) -> str:
    doing = "Making the commit of a release"
    index = "index.release"
    git.run("read-tree", outcome.head, doing=doing, index=index)
    trailers = []
    for target, revision in outcome.after.items():
        if outcome.before[target] == revision:
            continue
        if revision is None:
            entry = f"0 {'0' * 40}\t{target.path}\n"
        else:
            blob = git.run("hash-object", "-w", "--stdin", doing=doing, text=target.text(revision))
            entry = f"100644 {blob}\t{target.path}\n"
        git.run("update-index", "--index-info", doing=doing, index=index, text=entry)
        trailers.append(f"{TRAILER}: {target.environment}/{target.workload} {revision or git.remote.branch}")
    tree = git.run("write-tree", doing=doing, index=index)
    text = "\n".join([request.message.rstrip("\n"), "", *trailers, ""])
    return git.run("commit-tree", tree, "-p", outcome.head, doing=doing, text=text, author=request.author)


def _push(git: Git, commit: str, branch: str | None) -> None:
    if branch is None:
        git.push(commit)
        return
    # A new branch: git refuses it if it exists with another commit.
    doing = f"Pushing branch {branch} to {git.remote.url}"
    git.run("push", "--quiet", "--", git.remote.url, f"{commit}:refs/heads/{branch}", doing=doing)


def _arrived(remote: Remote, commit: str, branch: str | None) -> bool:
    """Return whether the commit is on the server. Wait for a server that does not answer, until connect_timeout."""
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Git(remote, directory)
        name = f"refs/heads/{branch or remote.branch}"
        found = git.refs().get(name)
        if found is None or branch is not None:
            return found == commit
        head = git.fetch()
        return head is not None and _has(git, commit, head)
