# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Hashes of files and folders, and what is taken out of archives."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tarfile
import typing as t
import zipfile
from functools import partial

_CHUNK = 1 << 20


def sha256_of_stream(stream: t.IO[bytes]) -> str:
    """SHA-256 of what is left in the stream, in hex."""
    digest = hashlib.sha256()
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def sha256_of(path: str) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return sha256_of_stream(file)


def _lines(hashes: t.Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"{sha256}  {name}\n" for name, sha256 in sorted(hashes)).encode()


def content_hash(path: str) -> str:
    """SHA-256 of a file, or of a folder's files by name and content. Empty where nothing is."""
    if os.path.isfile(path):
        return sha256_of(path)
    if not os.path.isdir(path):
        return ""
    files = [os.path.join(folder, name) for folder, _folders, names in os.walk(path) for name in names]
    return hashlib.sha256(_lines((os.path.relpath(file, path), sha256_of(file)) for file in files)).hexdigest()


def go_hash(archive: str) -> str:
    """Hash of a Go module's archive as go.sum has it, which does not depend on how it was packed."""
    with zipfile.ZipFile(archive) as module:
        hashes = []
        for name in module.namelist():
            with module.open(name) as file:
                hashes.append((name, sha256_of_stream(file)))
    return "h1:" + base64.b64encode(hashlib.sha256(_lines(hashes)).digest()).decode()


def _members(archive: str) -> t.Iterator[tuple[str, t.Callable[[], t.IO[bytes] | None]]]:
    """Give the regular files of an archive, by name, and how to read them."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    yield entry.filename, partial(packed.open, entry)
    else:
        with tarfile.open(archive) as packed_tar:
            for member in packed_tar:
                if member.isfile():
                    yield member.name, partial(packed_tar.extractfile, member)


def take_out(archive: str, wanted: str, target: str) -> int:
    """Take one file, or with a slash at its end one folder, out of an archive; return how many files that were.

    Only regular files are written, and none outside the target: a name that would lead there is an error.
    """
    taken = 0
    folder = wanted.endswith("/")
    for name, read in _members(archive):
        if not (name.startswith(wanted) if folder else name == wanted):
            continue
        inside = name[len(wanted) :] if folder else ""
        if ".." in inside.split("/") or inside.startswith("/"):
            raise ValueError(f"its entry {name} leads outside of it")
        path = os.path.join(target, inside) if folder else target
        os.makedirs(os.path.dirname(path), exist_ok=True)
        stream = read()
        if stream is None:
            continue
        with stream, open(path, "wb") as file:
            shutil.copyfileobj(stream, file, _CHUNK)
        taken += 1
    return taken
