# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise of compatibility to code outside of it.
"""Files of the host that nodes see through a mount, kept as they are described."""

from __future__ import annotations

import os
import typing as t
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import Mount
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import write_durably

_FILE_MODE, _DIRECTORY_MODE = 0o644, 0o755


@dataclass(frozen=True)
class FileChange:
    """One file that is not as described."""

    path: Path
    root: Path
    before: str | None
    after: str

    @property
    def reason(self) -> str:
        return "there is no such file" if self.before is None else "its content differs"


def changes(mounts: t.Iterable[Mount]) -> list[FileChange]:
    """Compare the described files with those that are there."""
    found = []
    for mount in mounts:
        for name, content in mount.files:
            path = Path(mount.host_path, name)
            try:
                before = path.read_text(encoding="utf-8", errors="replace")
            except FileNotFoundError:
                before = None
            except OSError as error:
                raise _failed("Reading", path, error) from error
            if before != content:
                found.append(FileChange(path, Path(mount.host_path), before, content))
    return found


def write(change: FileChange) -> None:
    """Write a file, and its directories where there are none; nodes read both, so others may too."""
    try:
        # Not by the mode of mkdir, from which the umask takes.
        for directory in reversed(_down_to(change.root, change.path.parent)):
            if not directory.is_dir():
                directory.mkdir(parents=True)
                os.chmod(directory, _DIRECTORY_MODE)
        write_durably(change.path, change.after, _FILE_MODE)
    except OSError as error:
        raise _failed("Writing", change.path, error) from error


def _down_to(root: Path, directory: Path) -> list[Path]:
    return [one for one in [directory, *directory.parents] if one.is_relative_to(root)]


def _failed(doing: str, path: Path, error: OSError) -> DrystoneError:
    return DrystoneError(
        f"{doing} {path}, which the nodes mount: {error.strerror or error}. Make it accessible to this user, or "
        "remove it.",
        path=str(path),
    )
