# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read which commits changed a workload in an environment, and note the result of a check. PRIVATE."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, read, revision_of
from ansible_collections.drystone.platform.plugins.module_utils._release.write import OVERTAKEN

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git

# Notes of Git on commits, which every clone can fetch
NOTES = "refs/notes/drystone"
# The note on a release that was reverted because a check failed
FAILED = "failed"
_ATTEMPTS = 5


@dataclass(frozen=True)
class Entry:
    """A commit that changed what an environment deploys: who, when (ISO 8601), why, the release, and the noted health.

    revision is None if the workload follows the branch since this commit.
    """

    commit: str
    author: str
    date: str
    subject: str
    revision: str | None
    health: str

    def facts(self) -> dict[str, t.Any]:
        """Return the entry as a result of a module."""
        return {
            "commit": self.commit,
            "author": self.author,
            "date": self.date,
            "subject": self.subject,
            "revision": self.revision,
            "health": self.health,
        }


def history(git: Git, head: str, target: Target, limit: int) -> list[Entry]:
    """Return the newest changes of a workload in an environment, the newest first.

    With a release these are the commits of its file, and before the first of them those that changed the workload.
    Without a release these are the commits that changed the workload.
    """
    fetch_notes(git)
    content = [target.folder, f"deploy/workloads/{target.workload}", "deploy/components"]
    if target not in read(git, head):
        return _entries(git, head, target, [target.path, *content], limit)
    entries = _entries(git, head, target, [target.path], limit)
    if 0 < len(entries) < limit:
        parents = git.run(
            "rev-list", "--parents", "--max-count=1", entries[-1].commit, doing="Reading a commit"
        ).split()
        if len(parents) > 1:
            entries += _entries(git, parents[1], target, content, limit - len(entries))
    return entries


def _entries(git: Git, start: str, target: Target, paths: list[str], limit: int) -> list[Entry]:
    """Return the commits below a start that changed one of the paths."""
    doing = f"Reading the history of {target}"
    shown = git.run(
        "log",
        f"--max-count={limit}",
        "--first-parent",
        f"--notes={NOTES}",
        "-z",
        "--format=%H%x00%an%x00%aI%x00%s%x00%N",
        start,
        "--",
        *paths,
        doing=doing,
    )
    fields = shown.split("\0")
    entries = []
    for at in range(0, len(fields) - 4, 5):
        commit, author, date, subject, notes = fields[at : at + 5]
        entries.append(Entry(commit, author, date, subject, _revision_at(git, commit, target), notes.strip()))
    return entries


def earlier(entries: t.Sequence[Entry]) -> str | None:
    """Return the commit that was deployed before the current one, or None if the history does not have any.

    Commits whose release failed are skipped. After a rollback, the commits that were rolled back are skipped too.
    """
    states = [(entry.revision or entry.commit, entry.health) for entry in entries]
    if not states:
        return None
    current = states[0][0]
    oldest = max(number for number, (revision, _health) in enumerate(states) if revision == current)
    return next((revision for revision, health in states[oldest + 1 :] if FAILED not in health.split()), None)


def _revision_at(git: Git, commit: str, target: Target) -> str | None:
    doing = f"Reading {target.path} of commit {commit[:12]}"
    listed = git.run("ls-tree", commit, "--", target.path, doing=doing)
    if not listed:
        return None
    text = git.run("cat-file", "blob", f"{commit}:{target.path}", doing=doing)
    try:
        return revision_of(text, target.path)
    except InvalidInput:
        # Nothing was deployed from a file without a commit.
        return None


def fetch_notes(git: Git) -> None:
    """Fetch the notes of the remote, if it has any."""
    if NOTES in git.refs():
        doing = f"Reading the notes of {git.remote.url}"
        git.run("fetch", "--quiet", "--no-tags", "--", git.remote.url, f"+{NOTES}:{NOTES}", doing=doing)


def note(git: Git, commit: str, text: str, *, check: bool) -> bool:
    """Add a line to the notes of a commit, unless it has this line. Return whether the notes change."""
    doing = f"Adding a note to commit {commit[:12]}"
    for attempt in range(1, _ATTEMPTS + 1):
        git.fetch()
        # Forget a note that the remote did not take.
        git.run("update-ref", "-d", NOTES, doing=doing)
        fetch_notes(git)
        if git.run("cat-file", "-t", commit, doing=doing, accept=(0, 128)) != "commit":
            raise InvalidInput(f"{doing}: {git.remote.url} ({git.remote.branch}) does not have it. Check the hash.")
        there = git.run("notes", f"--ref={NOTES}", "show", commit, doing=doing, accept=(0, 1))
        if text in there.splitlines():
            return False
        if check:
            return True
        git.run("notes", f"--ref={NOTES}", "append", f"--message={text}", commit, doing=doing)
        try:
            git.run("push", "--quiet", "--", git.remote.url, f"{NOTES}:{NOTES}", doing=doing)
        except CommandFailed as error:
            if attempt == _ATTEMPTS or not OVERTAKEN.search(str(error.facts.get("stderr", ""))):
                raise
            continue
        break
    return True
