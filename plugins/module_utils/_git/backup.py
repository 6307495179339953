# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps every ref of a Git repository in a bundle file that was read back. PRIVATE to the collection.

What exists in an earlier bundle alone is never overwritten: that file is kept beside the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    CommandFailed,
    DrystoneError,
    InvalidInput,
)
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.repository import Repository

# A directory beside the bundle for what is not finished; the number is that of the process that writes.
_UNFINISHED = ".git-backup-"
_EARLIER = "refs/drystone/earlier/"
_ATTEMPTS = 3


@dataclass
class Backup:
    """What was done, or would be: refs by name, before and after, and the file that an earlier bundle became."""

    action: str
    msg: str
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    earlier: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the file changes."""
        return self.action == "written"


def back_up(remote: Remote, *, path: str, check: bool) -> Backup:
    """Write every ref to a bundle file, unless that very file has them all already."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory) and not check:
        raise InvalidInput(f"Keeping {remote.url} in {path}: there is no directory {directory}. Make it first.")
    for _attempt in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="drystone-git-") as private:
            done = _attempt_to_back_up(Repository(remote, private), path, check)
            if done:
                return done
    raise DrystoneError(
        f"Keeping {remote.url} in {path}: its refs changed {_ATTEMPTS} times while they were read, so somebody pushes "
        "to it. Run this again once nobody does."
    )


def _attempt_to_back_up(git: Repository, path: str, check: bool) -> Backup | None:
    url = git.remote.url
    refs = git.refs()
    before, problem = _read(git.remote, path)
    if not refs:
        stays = f" {path} from before stays as it is." if os.path.exists(path) else ""
        return Backup("empty", f"{url} is empty, so there is nothing to keep.{stays}", before, before)
    if before == refs:
        return Backup("kept", f"{path} has all {len(refs)} refs of {url}.", before, refs)
    if git.mirror() != refs:
        return None
    earlier = _name_for_earlier(git, path, before, refs, problem)
    if not check:
        try:
            written = _write(git, path, refs, earlier)
        except OSError as error:
            raise DrystoneError(
                f"Keeping {url} in {path}: {error.strerror or error}. Make room or let this user write there."
            ) from error
        if not written:
            return None
    msg = f"{path} gets all {len(refs)} refs of {url}."
    if earlier:
        why = problem or "it has refs or commits that the repository does not have"
        msg += f" The bundle from before stays as {earlier}: {why}."
    return Backup("written", msg, before, refs, earlier)


def _read(remote: Remote, path: str) -> tuple[dict[str, str], str]:
    """Read all of a bundle file into a repository of its own: its refs, or what is wrong with it."""
    if not os.path.exists(path):
        return {}, ""
    with tempfile.TemporaryDirectory(prefix="drystone-git-") as private:
        try:
            return Repository(remote, private).unbundle(path, "refs/"), ""
        except CommandFailed:
            return {}, "it cannot be read"


def _name_for_earlier(
    git: Repository, path: str, before: dict[str, str], refs: dict[str, str], problem: str
) -> str | None:
    """Name the file that the bundle from before becomes; None if the new one has all that it has."""
    if not before and not problem:
        return None
    if not problem:
        git.unbundle(path, _EARLIER)
        if before.keys() <= refs.keys() and not git.lacks(before.values(), refs.values()):
            return None
    stem, ending = os.path.splitext(path)
    written = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(os.stat(path).st_mtime))
    name, number = f"{stem}-{written}{ending}", 1
    while os.path.exists(name):
        number += 1
        name = f"{stem}-{written}-{number}{ending}"
    return name


def _write(git: Repository, path: str, refs: dict[str, str], earlier: str | None) -> bool:
    """Write the bundle, read it back, and only then put it in place; False if the remote has changed meanwhile."""
    directory = os.path.dirname(path) or "."
    _remove_unfinished(directory)
    # What was read of the bundle from before must not come along.
    for name in git.own_refs("Preparing the Git bundle", _EARLIER):
        git.run("update-ref", "-d", f"{_EARLIER}{name.removeprefix('refs/')}", doing="Preparing the Git bundle")
    with tempfile.TemporaryDirectory(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=directory) as unfinished:
        new = os.path.join(unfinished, "bundle")
        git.bundle(new)
        os.chmod(new, 0o600)
        _sync(new)
        back, problem = _read(git.remote, new)
        if back != refs:
            raise DrystoneError(
                f"Keeping {git.remote.url} in {path}: the bundle was written and read back, and has {len(back)} of "
                f"{len(refs)} refs{f': {problem}' if problem else ''}. Is the disk in order?"
            )
        if git.refs() != refs:
            return False
        if earlier:
            os.rename(path, earlier)
        os.replace(new, path)
        _sync(directory)
    return True


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unfinished(directory: str) -> None:
    """Remove what runs that were killed have left."""
    for entry in os.scandir(directory):
        match = re.fullmatch(rf"{re.escape(_UNFINISHED)}(\d+)-\w+", entry.name)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            with contextlib.suppress(OSError):
                shutil.rmtree(entry.path)


def facts(backup: Backup) -> dict[str, t.Any]:
    """The backup as a module returns it."""
    return {
        "changed": backup.changed,
        "action": backup.action,
        "msg": backup.msg,
        "refs": backup.after,
        "earlier": backup.earlier,
        "diff": {"before": {"refs": backup.before}, "after": {"refs": backup.after}},
    }
