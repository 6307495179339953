# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Download files from their publishers to a temporary directory, verify them, and move them to their destination.

A record beside each file describes its origin, so that a second run downloads nothing. The build graph keeps its own
records with the same names. When one of the two replaces a file, it removes the record of the other one, which then
does its work again.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import tarfile
import time
import typing as t
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._artifacts.download import Failure, download, read_text
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.lock import Lock
from ansible_collections.drystone.platform.plugins.module_utils._artifacts.unpack import content_sum, take_out
from ansible_collections.drystone.platform.plugins.module_utils._errors import FetchFailed

AT_A_TIME = 4


def for_architecture(file: t.Mapping[str, str], arch: str | None) -> dict[str, str]:
    """Replace {arch} in the values of a file."""
    return {name: value.replace("{arch}", arch) if arch else value for name, value in file.items()}


@dataclass(frozen=True)
class Wanted:
    """One required file or directory.

    C(path) is the path at the publisher, relative to C(base). If C(extract) is set, the path is an archive, and only
    this member is extracted; a trailing slash means a directory. If C(tree_sum) is set, this checksum of the directory
    is verified instead of the archive's. Without C(checksums) the publisher provides no checksums, so only a lock can
    verify the file. C(setting) is the variable that a user would change.
    """

    name: str
    base: str
    path: str
    dest: str
    checksums: str = ""
    extract: str = ""
    tree_sum: str = ""
    setting: str = ""

    @property
    def url(self) -> str:
        """The URL of the download."""
        return f"{self.base.rstrip('/')}/{self.path}"

    @property
    def _beside(self) -> str:
        return os.path.join(os.path.dirname(self.dest), f".{self.name}")

    @property
    def partial(self) -> str:
        """The temporary directory of the download."""
        return f"{self._beside}.partial"

    @property
    def record(self) -> str:
        """The path of the record, which is written last."""
        return f"{self._beside}-upstream"

    def drop_records(self) -> None:
        """Delete the records, including those of the build graph, before the file changes."""
        for path in glob.glob(f"{glob.escape(self._beside)}-*"):
            os.unlink(path)


@dataclass
class Outcome:
    """The downloaded files, and the files that are not in a lock."""

    fetched: list[str] = field(default_factory=list)
    unlocked: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Expected:
    """An expected checksum and its source."""

    value: str
    source: str


class Fetcher:
    """Download files. The sleep between two attempts is injected."""

    def __init__(
        self,
        lock: Lock | None,
        *,
        timeout: float,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.lock = lock
        self.timeout = timeout
        self.sleep = sleep

    def fetch(self, files: t.Sequence[Wanted], *, check: bool) -> Outcome:
        """Download missing and outdated files, and report all failures together."""
        outcome = Outcome()
        missing = []
        for wanted in files:
            recorded = wanted.tree_sum or (self.lock.file(wanted.path) if self.lock else "")
            if not recorded:
                outcome.unlocked.append(wanted.name)
            record = _read_record(wanted)
            if not _is_current(wanted, record, recorded):
                missing.append(wanted)
                outcome.fetched.append(wanted.name)
                outcome.before[wanted.name] = str(record.get("path", "")) or _what_is_at(wanted.dest)
                outcome.after[wanted.name] = wanted.path
        if not check and missing:
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                raise_all([failure for failure in pool.map(self._fetch_one, missing) if failure])
        return outcome

    def _fetch_one(self, wanted: Wanted) -> Failure | None:
        shutil.rmtree(wanted.partial, ignore_errors=True)
        try:
            os.makedirs(wanted.partial)
            self._fetch(wanted)
        except Failure as failure:
            return failure
        except OSError as error:
            text = f"the file cannot be written: {error}. Free space, or make the path writable."
            return Failure(wanted.name, wanted.url, "disk", text)
        finally:
            shutil.rmtree(wanted.partial, ignore_errors=True)
        return None

    def _fetch(self, wanted: Wanted) -> None:
        expected = self._expected(wanted)
        archive = os.path.join(wanted.partial, "download")
        seen = download(wanted.name, wanted.url, archive, wanted.setting, timeout=self.timeout, sleep=self.sleep)
        if not wanted.tree_sum:
            _check(wanted, seen, expected)
        content = archive
        if wanted.extract:
            content = os.path.join(wanted.partial, "content")
            _extract(wanted, archive, content)
        if wanted.tree_sum:
            seen = content_sum(content)
            _check(wanted, seen, expected)
        _put(wanted, content)
        kept = {"path": wanted.path, "checksum": seen, "content": content_sum(wanted.dest)}
        with open(os.path.join(wanted.partial, "record"), "w", encoding="utf-8") as file:
            json.dump(kept, file)
        os.replace(file.name, wanted.record)

    def _expected(self, wanted: Wanted) -> Expected | None:
        """Return the expected checksum: tree_sum, else that of the lock, else the publisher's, else None."""
        if wanted.tree_sum:
            # The server creates the archive on demand, so the checksum of the archive is not stable.
            return Expected(wanted.tree_sum, f"tree_sum (only valid for one {wanted.setting or 'version'})")
        if self.lock:
            return Expected(self.lock.file(wanted.path), f"the lock {self.lock.path}")
        if not wanted.checksums:
            return None
        url = f"{wanted.base.rstrip('/')}/{wanted.checksums}"
        text = read_text(f"the checksum of {wanted.name}", url, wanted.setting, timeout=self.timeout, sleep=self.sleep)
        return Expected(_listed(wanted, url, text), f"the publisher's {url}")


def raise_all(failures: t.Sequence[Failure]) -> None:
    """Raise failures as one error, if there are any."""
    if failures:
        many = f"{len(failures)} downloads failed:\n- " if len(failures) > 1 else ""
        raise FetchFailed(
            many + "\n- ".join(str(failure) for failure in failures), failures=[failure.facts() for failure in failures]
        )


def _read_record(wanted: Wanted) -> dict[str, t.Any]:
    try:
        with open(wanted.record, encoding="utf-8") as file:
            record = json.load(file)
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _is_current(wanted: Wanted, record: t.Mapping[str, t.Any], recorded: str) -> bool:
    if record.get("path") != wanted.path or (recorded and record.get("checksum") != recorded):
        return False
    return bool(record.get("content")) and record["content"] == content_sum(wanted.dest)


def _what_is_at(path: str) -> str:
    return "something else" if os.path.exists(path) else "absent"


def _listed(wanted: Wanted, url: str, text: str) -> str:
    """Return the file's checksum from a publisher's list, or the only checksum of the text."""
    name = os.path.basename(wanted.path)
    words = [line.split() for line in text.splitlines() if line.strip()]
    found = [line[0] for line in words if len(line) > 1 and os.path.basename(line[-1].lstrip("*")) == name]
    if not found and len(words) == 1 and len(words[0]) == 1:
        found = words[0]
    if len(found) != 1 or len(found[0]) != 64 or set(found[0].lower()) - set("0123456789abcdef"):
        said = " ".join(text.split())[:80]
        raise Failure(
            wanted.name,
            url,
            "checksum",
            f"the response contains no SHA-256 of {name}; it begins with {said!r}. Open the URL to see whether a login"
            " page or a proxy answers instead of the publisher.",
        )
    return found[0].lower()


def _check(wanted: Wanted, seen: str, expected: Expected | None) -> None:
    if expected and seen != expected.value:
        raise Failure(
            wanted.name,
            wanted.url,
            "checksum",
            f"its checksum is {seen}, but {expected.source} requires {expected.value}. The download was deleted and"
            " nothing was changed. Run the task again. If the error persists, the file was altered in transit or at the"
            " publisher. Find out which before you use it.",
            expected=expected.value,
            seen=seen,
        )


def _extract(wanted: Wanted, archive: str, content: str) -> None:
    try:
        taken = take_out(archive, wanted.extract, content)
    except (ValueError, EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise Failure(wanted.name, wanted.url, "archive", f"the archive cannot be unpacked: {error}.") from error
    if not taken:
        raise Failure(
            wanted.name,
            wanted.url,
            "archive",
            f"the archive does not contain {wanted.extract}: the publisher changed its layout.",
        )


def _put(wanted: Wanted, content: str) -> None:
    """Move the content to its destination in one step. A previous directory is removed only then."""
    wanted.drop_records()
    if os.path.isdir(content):
        if os.path.lexists(wanted.dest):
            os.rename(wanted.dest, os.path.join(wanted.partial, "before"))
        os.rename(content, wanted.dest)
        return
    os.chmod(content, 0o755)  # noqa: S103  # a program that all users may run  # nosec B103
    os.replace(content, wanted.dest)
