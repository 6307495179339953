# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Save all refs of a Git repository in a bundle file, and read the file back. PRIVATE to the collection.

An earlier bundle with refs or commits that the repository does not have is never overwritten, but kept beside it.
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

# The name of a temporary directory beside the bundle. It contains the process id of the writer.
_UNFINISHED = ".git-backup-"
_EARLIER = "refs/drystone/earlier/"
_ATTEMPTS = 3


@dataclass
class Backup:
    """The changes that were or would be made: refs before and after, and the new path of an earlier bundle."""

    action: str
    msg: str
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    earlier: str | None = None

    @property
    def changed(self) -> bool:
        """Whether the bundle file changes."""
        return self.action == "written"


def back_up(remote: Remote, *, path: str, check: bool) -> Backup:
    """Save all refs in a bundle file, unless the file already contains them."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory) and not check:
        raise InvalidInput(f"Saving {remote.url} in {path}: the directory {directory} does not exist. Create it first.")
    for _attempt in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="drystone-git-") as private:
            done = _attempt_to_back_up(Repository(remote, private), path, check)
            if done:
                return done
    raise DrystoneError(
        f"Saving {remote.url} in {path}: its refs changed {_ATTEMPTS} times while they were read, because somebody "
        "pushes to it. Run this again when there are no pushes."
    )


def _attempt_to_back_up(git: Repository, path: str, check: bool) -> Backup | None:
    url = git.remote.url
    refs = git.refs()
    before, problem = _read(git.remote, path)
    if not refs:
        stays = f" The earlier {path} is kept." if os.path.exists(path) else ""
        return Backup("empty", f"{url} is empty, so there is nothing to save.{stays}", before, before)
    if before == refs:
        return Backup("kept", f"{path} already contains all {len(refs)} refs of {url}.", before, refs)
    if git.mirror() != refs:
        return None
    earlier = _name_for_earlier(git, path, before, refs, problem)
    if not check:
        try:
            written = _write(git, path, refs, earlier)
        except OSError as error:
            raise DrystoneError(
                f"Saving {url} in {path}: {error.strerror or error}. Free space, or give this user write access."
            ) from error
        if not written:
            return None
    msg = f"Saves all {len(refs)} refs of {url} in {path}."
    if earlier:
        why = problem or "it has refs or commits that the repository does not have"
        msg += f" The earlier bundle is kept as {earlier}, because {why}."
    return Backup("written", msg, before, refs, earlier)


def _read(remote: Remote, path: str) -> tuple[dict[str, str], str]:
    """Read a bundle file completely into a temporary repository. Return its refs, or the problem of the file."""
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
    """Return the new path of the earlier bundle, or None if the new bundle contains all of it."""
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
    """Write the bundle, read it back, then move it into place. Return False if the remote changed meanwhile."""
    directory = os.path.dirname(path) or "."
    _remove_unfinished(directory)
    # Remove the refs of the earlier bundle, which must not be in the new one.
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
                f"Saving {git.remote.url} in {path}: the bundle was written and read back, but has {len(back)} of "
                f"{len(refs)} refs{f': {problem}' if problem else ''}. Check the disk."
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
    """Remove temporary directories of killed runs."""
    for entry in os.scandir(directory):
        match = re.fullmatch(rf"{re.escape(_UNFINISHED)}(\d+)-\w+", entry.name)
        if match and not os.path.exists(f"/proc/{match[1]}"):
            with contextlib.suppress(OSError):
                shutil.rmtree(entry.path)


def facts(backup: Backup) -> dict[str, t.Any]:
    """Return the backup as the result of a module."""
    return {
        "changed": backup.changed,
        "action": backup.action,
        "msg": backup.msg,
        "refs": backup.after,
        "earlier": backup.earlier,
        "diff": {"before": {"refs": backup.before}, "after": {"refs": backup.after}},
    }
