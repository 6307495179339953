# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Download one file, retry temporary errors, and describe failures."""

from __future__ import annotations

import hashlib
import http.client
import typing as t
import urllib.error

from ansible.module_utils.urls import open_url

ATTEMPTS = 3
_CHUNK = 1 << 20
# Status codes of temporary errors.
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
_LONGEST_TEXT = 1 << 20


class Failure(Exception):
    """One failed download. Several of them are combined into one FetchFailed."""

    def __init__(self, name: str, url: str, reason: str, text: str, **facts: str) -> None:
        super().__init__(f"Downloading {name} from {url}: {text}")
        self._facts = {"name": name, "url": url, "reason": reason, **facts}

    def facts(self) -> dict[str, str]:
        """Return the failure as data."""
        return self._facts


class _TryAgain(Exception):
    def __init__(self, failure: Failure) -> None:
        super().__init__()
        self.failure = failure


def download(name: str, url: str, path: str, setting: str, *, timeout: float, sleep: t.Callable[[float], None]) -> str:
    """Download to the path, and return the SHA-256."""

    def attempt() -> str:
        digest = hashlib.sha256()
        with open(path, "wb") as file:
            for chunk in _chunks(name, url, setting, timeout):
                digest.update(chunk)
                file.write(chunk)
        return digest.hexdigest()

    return _attempts(attempt, sleep)


def read_text(name: str, url: str, setting: str, *, timeout: float, sleep: t.Callable[[float], None]) -> str:
    """Download a short text."""

    def attempt() -> str:
        text = b""
        for chunk in _chunks(name, url, setting, timeout):
            text += chunk
            if len(text) > _LONGEST_TEXT:
                raise Failure(name, url, "checksum", "the response is too long for a list of checksums.")
        return text.decode("utf-8", "replace")

    return _attempts(attempt, sleep)


def _attempts(attempt: t.Callable[[], str], sleep: t.Callable[[float], None]) -> str:
    for number in range(1, ATTEMPTS + 1):
        try:
            return attempt()
        except _TryAgain as again:
            if number == ATTEMPTS:
                raise again.failure from again
            sleep(float(number))
    raise AssertionError("not reached")


def _chunks(name: str, url: str, setting: str, timeout: float) -> t.Iterator[bytes]:
    try:
        response = open_url(url, timeout=timeout, http_agent="drystone", decompress=False)
    except urllib.error.HTTPError as error:
        error.close()
        raise _answered(name, url, setting, error) from error
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        text = (
            f"no answer in {ATTEMPTS} attempts ({reason}). Check the network, https_proxy and no_proxy of this host. "
            "If the host only reaches package registries, set drystone_source: source."
        )
        raise _TryAgain(Failure(name, url, "unreachable", text)) from error
    with response:
        size = int(response.headers.get("Content-Length") or -1)
        done = 0
        cut: Exception | None = None
        while True:
            try:
                chunk = response.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                cut = error
                break
            if not chunk:
                break
            done += len(chunk)
            yield chunk
        if cut or 0 <= size != done:
            of = f"{done} of {size} bytes" if size >= 0 else f"{done} bytes"
            often = f"the connection ended after {of}, {ATTEMPTS} times"
            text = f"{often}. Run the task again. If the error persists, look for a proxy that closes the connection."
            raise _TryAgain(Failure(name, url, "truncated", text)) from cut


def _answered(name: str, url: str, setting: str, error: urllib.error.HTTPError) -> Exception:
    said = f"the server answered {error.code} {error.reason}"
    if error.code in _BUSY:
        return _TryAgain(Failure(name, url, "busy", f"{said}, {ATTEMPTS} times. Try again later."))
    if error.code in (404, 410):
        where = f"{setting} and " if setting else ""
        return Failure(
            name, url, "missing", f"{said}. The version is not published there. Check {where}artifacts_upstream_bases."
        )
    return Failure(name, url, "refused", f"{said}. The server or a proxy denies this host access to the file.")
