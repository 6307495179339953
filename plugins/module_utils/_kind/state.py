# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise of compatibility to code outside of it.
"""What is remembered of a kind cluster between runs: who owns it, what was begun, what it was made from.

Every write is on the disk before the step that it announces. The names of the files say what matters, so
that a file cut short by a power loss still does; contents are hints.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import tempfile
import time
import typing as t
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._errors import NotReady

_OWNER_PREFIX = "owner-"
_OWNER_FILE = re.compile(r"owner-([0-9a-f]{32})\Z")
_SCRATCH_PREFIX = ".kind-"


def nonce_of(host_path: str) -> str | None:
    """The nonce that the host path of an owner mount carries."""
    match = _OWNER_FILE.match(os.path.basename(host_path))
    return match.group(1) if match else None


def write_durably(path: Path, text: str, mode: int = 0o600) -> None:
    """Replaces a file at once; after this returns it survives a power loss."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=_SCRATCH_PREFIX)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class ClusterState:
    """The state directory of one cluster."""

    def __init__(
        self,
        directory: Path,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._sleep = sleep
        self._intent = directory / "intent.json"
        self._created = directory / "created.json"

    @contextlib.contextmanager
    def lock(self, timeout: float) -> t.Iterator[int]:
        """Holds the lock of the cluster and yields its descriptor.

        A child that inherits the descriptor goes on holding the lock if this process is killed, so nobody
        meddles with what the orphan still does.
        """
        path = self.directory / "lock"
        deadline = self._clock() + timeout
        while True:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                # Its holder has just removed the directory.
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip()
                os.close(descriptor)
                if self._clock() >= deadline:
                    raise NotReady(_busy(path, holder, timeout), lock=str(path), holder=holder) from None
                self._sleep(0.2)
                continue
            # The former holder may have removed the file (state absent): a lock on it would exclude nobody.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break
            os.close(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            # A run that was refused leaves nothing behind.
            if self.directory.is_dir() and os.listdir(self.directory) == [path.name]:
                self.clear()
            os.close(descriptor)

    def nonces(self) -> set[str]:
        """Every nonce that marks a container as ours."""
        if not self.directory.is_dir():
            return set()
        return {nonce for nonce in map(nonce_of, os.listdir(self.directory)) if nonce}

    def owner_file(self) -> Path:
        """The file whose path proves ownership; made (durably) if there is none."""
        known = sorted(self.nonces())
        nonce = known[0] if known else secrets.token_hex(16)
        path = self.directory / f"{_OWNER_PREFIX}{nonce}"
        if not known:
            write_durably(path, nonce + "\n")
        return path

    def keep_owner_file(self, nonce: str) -> None:
        """Puts the owner file back where a container that is to be started mounts it."""
        path = self.directory / f"{_OWNER_PREFIX}{nonce}"
        if not path.exists():
            write_durably(path, nonce + "\n")

    def interrupted(self, containers: t.Collection[str]) -> str | None:
        """The operation that was begun and never finished, given the ids of the containers that are there.

        While everything is there that it was going to remove, nothing has happened to the cluster.
        """
        if not self._intent.exists() or self._created.exists():
            return None
        begun = _read_json(self._intent)
        removes = begun.get("removes")
        if removes and isinstance(removes, list) and set(removes) <= set(containers):
            return None
        return str(begun.get("operation") or "create")

    @property
    def created(self) -> dict[str, t.Any] | None:
        """What the cluster was made from; empty if that was lost; None if no creation was finished."""
        return _read_json(self._created) if self._created.exists() else None

    def begin(self, operation: str, removes: t.Collection[str] = ()) -> None:
        """Announces a create or a delete, and the containers that go: until it is finished a cluster counts as half."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(
            self._intent, json.dumps({"operation": operation, "pid": os.getpid(), "removes": sorted(removes)}) + "\n"
        )
        self._created.unlink(missing_ok=True)
        _sync_directory(self.directory)

    def finish_create(self, made_from: t.Mapping[str, t.Any]) -> None:
        write_durably(self._created, json.dumps(made_from, indent=2, sort_keys=True) + "\n")
        self._intent.unlink(missing_ok=True)

    @contextlib.contextmanager
    def scratch(self) -> t.Iterator[Path]:
        """A directory for one command; those left by a killed run go first."""
        for left in self.directory.glob(_SCRATCH_PREFIX + "*"):
            _remove(left)
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=_SCRATCH_PREFIX) as path:
            yield Path(path)

    def files(self, keep_owner: bool = False) -> list[Path]:
        """What is ours in the directory, the lock last: it goes when everything else is gone."""
        if not self.directory.is_dir():
            return []
        owners = sorted(path for path in self.directory.iterdir() if nonce_of(path.name) and not keep_owner)
        scratch = sorted(self.directory.glob(_SCRATCH_PREFIX + "*"))
        named = [self._created, *scratch, *owners, self._intent, self.directory / "lock"]
        found = [path for path in named if path.exists()]
        # Beside a mark that stays the lock alone is nothing to remove.
        return [] if keep_owner and found == named[-1:] else found

    def clear(self, keep_owner: bool = False) -> None:
        """Removes what is ours, if need be without the owner mark, and the directory if nothing else lies in it."""
        for path in self.files(keep_owner):
            _remove(path)
        with contextlib.suppress(OSError):
            self.directory.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _busy(path: Path, holder: str, timeout: float) -> str:
    who = "a process that left no number"
    if holder.isdigit():
        alive = os.path.exists(f"/proc/{holder}")
        who = f"process {holder}" if alive else f"a command that process {holder}, now gone, had started"
    return (
        f"Another run is at work on this cluster: {who} holds {path}, and still did after {timeout:g} s. "
        "Wait for it to end, or raise lock_timeout."
    )


def _read_json(path: Path) -> dict[str, t.Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
