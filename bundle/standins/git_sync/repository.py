# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository below a root, its worktrees and the link to the one that is published.

A worktree gets its final name, its commit, only when it is complete, and the link changes atomically. Therefore readers
of the link always see one complete commit, whenever and however this process ends. The next sync removes leftovers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

from .children import Deadline, Failed, Killed
from .flags import Options
from .git import Git
from .log import Log

_MODE = 0o775  # reduced by the umask
_BUILDING = ".new"
_REPLACED = ".old"


class Synced(t.NamedTuple):
    """The result of a sync."""

    changed: bool
    commit: str


class Repository:
    """The repository in one root directory."""

    def __init__(self, options: Options, git: Git, log: Log, updated: Callable[[], None]) -> None:
        self.root = options.root
        self.worktrees = self.root / ".worktrees"
        self.link = options.path(options.link)
        self._options = options
        self._git = git
        self._log = log
        self._updated = updated
        self._trusted = False
        self._first = True
        self._littered = False
        self._lock = -1

    def worktree(self, commit: str) -> Path:
        """Return the worktree of a commit."""
        return self.worktrees / commit

    def sync(self, deadline: Deadline) -> Synced:
        """Fetch the commit of the ref and publish it, unless it is published already."""
        self._git.read_password()
        self._hold()
        try:
            if not self._trusted:
                self._heal(deadline)
            try:
                done = self._sync(deadline)
            except Failed:
                # The cause may be the local repository, which was not checked: repair it and retry at once.
                if not self._trusted or not deadline.left() or not self._heal(deadline):
                    raise
                done = self._sync(deadline)
        except (Failed, OSError):
            self._trusted = False
            raise
        self._trusted = True
        self._first = False
        return done

    def _hold(self) -> None:
        """Lock the root directory.

        Every Git process inherits the lock, so one that outlives this process blocks the next git-sync.
        """
        self.root.mkdir(_MODE, parents=True, exist_ok=True)
        if self._lock < 0:
            self._lock = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            self._git.keep_open = (self._lock,)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another git-sync, or a git process that it left, still uses {self.root}") from None

    def _sync(self, deadline: Deadline) -> Synced:
        self._fetch(deadline)
        commit = self._git(deadline, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
        before = self.live()
        after = self.worktree(commit)
        changed = before != after or not self._whole(after)
        if changed or self._first:
            self._log.say("update required", ref=self._options.ref, local=before.name if before else "", remote=commit)
            # Set HEAD, so that the next fetch knows this commit and clearing keeps it.
            self._git(deadline, "update-ref", "HEAD", commit)
            self._make(deadline, commit)
            self._publish(before, after)
            self._updated()
            self._log.say("updated successfully", ref=self._options.ref, remote=commit)
        return Synced(changed, commit)

    def _fetch(self, deadline: Deadline) -> None:
        depth = self._options.depth
        how = [f"--depth={depth}"] if depth else []
        if not depth and (self._git.directory / "shallow").exists():
            how = ["--unshallow"]
        how += ["--no-progress", "--no-tags", "--no-auto-maintenance", "--no-recurse-submodules"]
        self._git(deadline, "fetch", *how, self._options.repo, self._options.ref)

    def live(self) -> Path | None:
        """Return the published worktree, whether it exists or not."""
        try:
            target = self.link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Failed(f"{self.link} exists and is not a link, so no link can be published there") from error
        return Path(os.path.normpath(self.link.parent.resolve() / target))

    # --- worktrees ---

    def _record(self, commit: str) -> Path:
        return self._git.directory / "worktrees" / commit

    def _patterns(self) -> bytes | None:
        file = self._options.sparse_checkout_file
        try:
            return Path(file).read_bytes() if file else None
        except OSError as error:
            raise Failed(f"can't read the sparse checkout file: {error}") from error

    def _whole(self, worktree: Path) -> bool:
        """Return whether a worktree is valid: known to Git, at its commit, and with the current sparse patterns."""
        record = self._record(worktree.name)
        patterns = record / "info" / "sparse-checkout"
        try:
            return (
                (worktree / ".git").read_text() == _pointer(worktree.name)
                and (record / "HEAD").read_text().strip() == worktree.name
                and (patterns.read_bytes() if patterns.exists() else None) == self._patterns()
            )
        except OSError:
            return False

    def _check_out(self, deadline: Deadline, worktree: Path) -> None:
        record = self._record(worktree.name)
        sparse = "true" if self._options.sparse_checkout_file else "false"
        settings = ["-c", f"core.sparseCheckout={sparse}", "-c", "core.sparseCheckoutCone=false"]
        self._git(
            deadline, *settings, "reset", "--quiet", "--hard", worktree.name, "--", directory=record, worktree=worktree
        )

    def _make(self, deadline: Deadline, commit: str) -> None:
        """Ensure that there is a worktree with all files of a commit."""
        worktree = self.worktree(commit)
        if self._whole(worktree):
            try:
                return self._check_out(deadline, worktree)
            except Failed as error:
                self._log.say("worktree is made anew", commit=commit, reason=str(error))
        building, replaced = self.worktrees / _BUILDING, self.worktrees / _REPLACED
        record = self._record(commit)
        for leftover in (building, replaced, record):
            _remove(leftover)
        beside = building / commit
        patterns = self._patterns()
        try:
            self._log.say("adding worktree", 1, path=str(worktree))
            self._git(deadline, "worktree", "add", "--force", "--detach", "--no-checkout", str(beside), commit)
            if patterns is not None:
                (record / "info").mkdir(exist_ok=True)
                (record / "info" / "sparse-checkout").write_bytes(patterns)
            self._check_out(deadline, beside)
            # Use a relative path, because other containers mount the volume elsewhere, and refer to the final location.
            (beside / ".git").write_text(_pointer(commit))
            (record / "gitdir").write_text(f"{worktree / '.git'}\n")
            if os.path.lexists(worktree):
                replaced.mkdir()
                worktree.rename(replaced / commit)
            beside.rename(worktree)
            _remove(building)
            _remove(replaced)
        except (Failed, OSError):
            # Remove the incomplete worktree: it only uses space, perhaps the space that was missing.
            shutil.rmtree(building, ignore_errors=True)
            raise

    def _publish(self, before: Path | None, after: Path) -> None:
        if before == after:
            return
        if before is not None and before.parent == self.worktrees:
            # The replaced worktree becomes stale now.
            with contextlib.suppress(FileNotFoundError):
                os.utime(before)
        self.link.parent.mkdir(_MODE, parents=True, exist_ok=True)
        target = os.path.relpath(after, self.link.parent.resolve())
        beside = self.link.with_name(f".{self.link.name}.partial")
        _remove(beside)
        beside.symlink_to(target)
        beside.replace(self.link)

    def clear(self, deadline: Deadline) -> None:
        """Remove worktrees that were replaced long enough ago, and objects that only they used."""
        live = self.live()
        for path in sorted(self.worktrees.iterdir()):
            if path == live:
                continue
            leftover = path.name in (_BUILDING, _REPLACED)
            if leftover or time.time() - path.lstat().st_mtime >= self._options.stale_worktree_timeout:
                self._log.say("removing worktree", 1, path=str(path))
                _remove(path)
                self._littered = True
        if not self._littered:
            return
        try:
            self._git(deadline, "worktree", "prune")
            self._git(deadline, "reflog", "expire", "--expire-unreachable=all", "--all")
            self._git(deadline, "gc", "--quiet")
        except Failed:
            self._trusted = False
            raise
        self._littered = False

    # --- repair after an interruption ---

    def _heal(self, deadline: Deadline) -> bool:
        """Ensure that Git can use the repository. Do not change published files. Return whether something changed."""
        locks = self._unlock()
        if self._sound(deadline):
            return locks > 0
        self._log.say("repository is missing or failed its checks, making it anew", path=str(self._git.directory))
        _remove(self._git.directory)
        self._git(deadline, "init", "--quiet", "--template=", "--initial-branch=git-sync")
        return True

    def _unlock(self) -> int:
        """Remove leftovers of a killed Git. The lock on the root ensures that no other process works here."""
        _remove(self.worktrees / _BUILDING)
        records = self._git.directory / "worktrees"
        for record in records.iterdir() if records.is_dir() else ():
            if not self.worktree(record.name).is_dir():
                _remove(record)
        found = 0
        for folder, _folders, files in os.walk(self._git.directory):
            for name in files:
                if name.endswith(".lock") or name == "gc.pid":
                    self._log.say("removing the lock of a git that was killed", path=str(Path(folder, name)))
                    Path(folder, name).unlink()
                    found += 1
        return found

    def _sound(self, deadline: Deadline) -> bool:
        if not self._git.directory.is_dir() or self._git.directory.is_symlink():
            return False
        try:
            self._git(deadline, "fsck", "--connectivity-only", "--no-progress", "--no-dangling")
            # Remove objects of failed fetches, which may be what fills the disk.
            self._git(deadline, "prune", "--expire=now")
        except Killed:
            raise
        except Failed as error:
            self._log.fail("repository failed its checks", error, path=str(self._git.directory))
            return False
        return True


def _pointer(commit: str) -> str:
    """Return the content of the file that makes a directory a worktree."""
    return f"gitdir: ../../.git/worktrees/{commit}\n"


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
