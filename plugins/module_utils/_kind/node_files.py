# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""Files of the host that nodes mount, kept up to date."""

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
    """One file that differs from its description."""

    path: Path
    root: Path
    before: str | None
    after: str

    @property
    def reason(self) -> str:
        return "the file does not exist" if self.before is None else "its content differs"


def changes(mounts: t.Iterable[Mount]) -> list[FileChange]:
    """Compare the described files with the existing ones."""
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
    """Write a file and missing directories, readable for all users, because nodes read them."""
    try:
        # The umask would change the mode of mkdir.
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
        f"{doing} {path}, which the nodes mount: {error.strerror or error}. Give this user access to it, or remove it.",
        path=str(path),
    )
