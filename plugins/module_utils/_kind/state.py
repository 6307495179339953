# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The recorded state of a kind cluster: its owner, unfinished operations, and the settings of its creation.

Each record is written to disk before the step that it announces. File names contain the important information, which
survives a power loss even if the content of a file is incomplete.
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
    """Return the nonce in the host path of an owner mount."""
    match = _OWNER_FILE.match(os.path.basename(host_path))
    return match.group(1) if match else None


def write_durably(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file atomically and durably."""
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
        """Hold the lock of the cluster and yield its descriptor.

        A child that inherits the descriptor keeps the lock if this process is killed, so that no other run interferes
        with the orphaned child.
        """
        path = self.directory / "lock"
        deadline = self._clock() + timeout
        while True:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            except FileNotFoundError:
                # The holder has just removed the directory.
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
            # The previous holder may have removed the file (state absent). A lock on a removed file has no effect.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                    break
            os.close(descriptor)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield descriptor
        finally:
            # A refused run leaves nothing behind.
            if self.directory.is_dir() and os.listdir(self.directory) == [path.name]:
                self.clear()
            os.close(descriptor)

    def nonces(self) -> set[str]:
        """Return all nonces that mark a container as belonging to this cluster."""
        if not self.directory.is_dir():
            return set()
        return {nonce for nonce in map(nonce_of, os.listdir(self.directory)) if nonce}

    def owner_file(self) -> Path:
        """Return the file whose path proves the ownership. Create it durably if it does not exist."""
        known = sorted(self.nonces())
        nonce = known[0] if known else secrets.token_hex(16)
        path = self.directory / f"{_OWNER_PREFIX}{nonce}"
        if not known:
            write_durably(path, nonce + "\n")
        return path

    def keep_owner_file(self, nonce: str) -> None:
        """Restore the owner file that a container mounts, before the container is started."""
        path = self.directory / f"{_OWNER_PREFIX}{nonce}"
        if not path.exists():
            write_durably(path, nonce + "\n")

    def interrupted(self, containers: t.Collection[str]) -> str | None:
        """Return the operation that was started and not finished, given the ids of the existing containers.

        If all containers still exist that the operation was going to remove, it has not changed the cluster.
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
        """Return the settings of the creation. Empty: they were lost. None: no creation was finished."""
        return _read_json(self._created) if self._created.exists() else None

    def begin(self, operation: str, removes: t.Collection[str] = ()) -> None:
        """Record the start of a create or delete and the containers to remove. The cluster is incomplete meanwhile."""
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
        """Create a directory for one command. Remove directories of killed runs first."""
        for left in self.directory.glob(_SCRATCH_PREFIX + "*"):
            _remove(left)
        with tempfile.TemporaryDirectory(dir=self.directory, prefix=_SCRATCH_PREFIX) as path:
            yield Path(path)

    def files(self, keep_owner: bool = False) -> list[Path]:
        """Return the files of the module in the directory, with the lock last."""
        if not self.directory.is_dir():
            return []
        owners = sorted(path for path in self.directory.iterdir() if nonce_of(path.name) and not keep_owner)
        scratch = sorted(self.directory.glob(_SCRATCH_PREFIX + "*"))
        named = [self._created, *scratch, *owners, self._intent, self.directory / "lock"]
        found = [path for path in named if path.exists()]
        # If the owner mark is kept, the lock alone is not worth a removal.
        return [] if keep_owner and found == named[-1:] else found

    def clear(self, keep_owner: bool = False) -> None:
        """Remove the files of the module, optionally without the owner mark, and the directory if it is empty."""
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
    who = "an unknown process"
    if holder.isdigit():
        alive = os.path.exists(f"/proc/{holder}")
        who = f"process {holder}" if alive else f"a command of process {holder}, which has ended,"
    return (
        f"Locking the cluster: {who} still holds {path} after {timeout:g} s. Another run works on this cluster. "
        "Wait until it ends, or raise lock_timeout."
    )


def _read_json(path: Path) -> dict[str, t.Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
