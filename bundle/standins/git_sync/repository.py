# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repository below a root, its worktrees and the link to the one that is published.

A worktree gets its name, its commit, only once all of it is there, and the link changes in one step, so whoever follows
the link sees the whole of some commit whenever this ends and however. The next sync clears what was left behind.
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

_MODE = 0o775  # less what the umask takes
_BUILDING = ".new"
_REPLACED = ".old"


class Synced(t.NamedTuple):
    """What a sync came to."""

    changed: bool
    commit: str


class Repository:
    """One root."""

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
        """Tell where the files of a commit are."""
        return self.worktrees / commit

    def sync(self, deadline: Deadline) -> Synced:
        """Fetch what the ref points to and publish it, if it is not what is published."""
        self._git.read_password()
        self._hold()
        try:
            if not self._trusted:
                self._heal(deadline)
            try:
                done = self._sync(deadline)
            except Failed:
                # It may be due to what is here, which was not looked at: then mend it and try again at once.
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
        """Keep others off.

        Every Git that is started here holds the lock, too: one that outlives us keeps the next git-sync off.
        """
        self.root.mkdir(_MODE, parents=True, exist_ok=True)
        if self._lock < 0:
            self._lock = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
            self._git.keep_open = (self._lock,)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another git-sync, or a git that one left behind, still works in {self.root}") from None

    def _sync(self, deadline: Deadline) -> Synced:
        self._fetch(deadline)
        commit = self._git(deadline, "rev-parse", "--verify", "FETCH_HEAD^{commit}").strip()
        before = self.live()
        after = self.worktree(commit)
        changed = before != after or not self._whole(after)
        if changed or self._first:
            self._log.say("update required", ref=self._options.ref, local=before.name if before else "", remote=commit)
            # So that the next fetch knows what is here, and clearing keeps it.
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
        """Tell which worktree is published, whether it is there or not."""
        try:
            target = self.link.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Failed(f"{self.link} is in the way of the link that is to be published there") from error
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
        """See whether a worktree is Git's, at its commit, and limited to the files that are wanted."""
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
        """See to it that there is a worktree with all files of a commit."""
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
            # Relative, because the volume is mounted elsewhere in other containers; and from now on of the final place.
            (beside / ".git").write_text(_pointer(commit))
            (record / "gitdir").write_text(f"{worktree / '.git'}\n")
            if os.path.lexists(worktree):
                replaced.mkdir()
                worktree.rename(replaced / commit)
            beside.rename(worktree)
            _remove(building)
            _remove(replaced)
        except (Failed, OSError):
            # What is not finished only takes room, maybe the very room that was missing.
            shutil.rmtree(building, ignore_errors=True)
            raise

    def _publish(self, before: Path | None, after: Path) -> None:
        if before == after:
            return
        if before is not None and before.parent == self.worktrees:
            # From now on it counts as stale.
            with contextlib.suppress(FileNotFoundError):
                os.utime(before)
        self.link.parent.mkdir(_MODE, parents=True, exist_ok=True)
        target = os.path.relpath(after, self.link.parent.resolve())
        beside = self.link.with_name(f".{self.link.name}.partial")
        _remove(beside)
        beside.symlink_to(target)
        beside.replace(self.link)

    def clear(self, deadline: Deadline) -> None:
        """Remove worktrees that were replaced long enough ago, and what only they needed."""
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

    # --- what an end at any moment leaves behind ---

    def _heal(self, deadline: Deadline) -> bool:
        """See to it that there is a repository that Git can work with. Published files are left alone."""
        locks = self._unlock()
        if self._sound(deadline):
            return locks > 0
        self._log.say("repository is missing or failed its checks, making it anew", path=str(self._git.directory))
        _remove(self._git.directory)
        self._git(deadline, "init", "--quiet", "--template=", "--initial-branch=git-sync")
        return True

    def _unlock(self) -> int:
        """Remove what belongs to a Git that was killed: nobody else works here, the lock sees to that."""
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
            # What a fetch left that came to nothing is of no use, and maybe it is what fills the disk.
            self._git(deadline, "prune", "--expire=now")
        except Killed:
            raise
        except Failed as error:
            self._log.fail("repository failed its checks", error, path=str(self._git.directory))
            return False
        return True


def _pointer(commit: str) -> str:
    """Make the file that makes a directory a worktree."""
    return f"gitdir: ../../.git/worktrees/{commit}\n"


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)
