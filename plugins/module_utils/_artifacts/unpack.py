# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Compute checksums of files and directories, and extract archives."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tarfile

_CHUNK = 1 << 20


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def content_sum(path: str) -> str:
    """Return the SHA-256 of a file, the checksum of a directory, or an empty string if the path does not exist.

    The checksum of a directory is the h1 of Go's dirhash over its files and their relative paths. It does not depend on
    the archive format.
    """
    if os.path.isfile(path):
        return sha256_of(path)
    if not os.path.isdir(path):
        return ""
    files = [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
    named = sorted((os.path.relpath(file, path), file) for file in files)
    lines = "".join(f"{sha256_of(file)}  {name}\n" for name, file in named)
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


def take_out(archive: str, wanted: str, target: str) -> int:
    """Extract one file, or one directory (with a trailing slash), from a tar archive. Return the number of files.

    Write regular files only. Raise ValueError for a name that leads outside the target.
    """
    taken = 0
    folder = wanted.endswith("/")
    with tarfile.open(archive) as packed:
        for member in packed:
            stream = packed.extractfile(member) if member.isfile() else None
            if stream is None or not (member.name.startswith(wanted) if folder else member.name == wanted):
                continue
            inside = member.name[len(wanted) :] if folder else ""
            if ".." in inside.split("/") or inside.startswith("/"):
                raise ValueError(f"its entry {member.name} leads outside the target directory")
            path = os.path.join(target, inside) if folder else target
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with stream, open(path, "wb") as file:
                shutil.copyfileobj(stream, file, _CHUNK)
            taken += 1
    return taken
