# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Decide whether artefacts are built from source or downloaded from upstream."""

from __future__ import annotations

import os
import threading
import time
import typing as t
import urllib.error
import urllib.parse
from dataclasses import dataclass, field

from ansible.module_utils.urls import open_url

from ansible_collections.drystone.platform.plugins.module_utils._command import Run
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

# Names of `uname -m`, and the names of Go, which the files and images of upstream use as well.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# A registry that requires a token returns this status. It is reachable.
_ASKS_FOR_A_TOKEN = 401
_QUESTION_TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    """The result of a request to one endpoint. An empty error means that the endpoint can be used."""

    url: str
    error: str = ""


@dataclass(frozen=True)
class Decision:
    """The chosen source and the reason."""

    source: str
    msg: str
    # All artefacts of these pins are already on the host.
    complete: bool = False
    answers: list[Answer] = field(default_factory=list)


def architecture(machine: str) -> str:
    """Return the name that upstream's files use for this processor architecture."""
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        raise InvalidInput(
            f"Choosing the source of artefacts: this host's processor architecture is {machine}, but upstream only "
            f"publishes for {' and '.join(_ARCHITECTURES)}. Use another host."
        ) from None


def is_built(run: Run, directory: str, cache: str, pins: t.Mapping[str, t.Any]) -> bool:
    """Return whether the build graph has nothing left to do for these pins.

    Reading the graph creates its directories. Therefore it is only read if something was built before.
    """
    if not os.path.isdir(os.path.join(cache, "build", "stamps")):
        return False
    settings = [f"CACHE={cache}", *(f"{name}={value}" for name, value in sorted(pins.items()))]
    make = ["make", "--no-print-directory", "--directory", directory, *settings, "--question"]
    return run(make, _QUESTION_TIMEOUT).rc == 0


def ask(url: str, timeout: float) -> Answer:
    """Send a request to one endpoint. Follow redirects, because a download would follow them as well."""
    try:
        open_url(url, timeout=timeout, http_agent="drystone").close()
    except urllib.error.HTTPError as error:
        error.close()
        return Answer(url, "" if error.code == _ASKS_FOR_A_TOKEN else f"answered {error.code} {error.reason}")
    except urllib.error.URLError as error:
        return Answer(url, f"did not answer ({error.reason})")
    except (OSError, ValueError) as error:
        return Answer(url, f"did not answer ({error})")
    return Answer(url)


def probe(urls: t.Sequence[str], timeout: float) -> list[Answer]:
    """Send requests to all endpoints in parallel. An endpoint without a response within the timeout is an error."""
    found: dict[str, Answer] = {}

    def ask_one(url: str) -> None:
        found[url] = ask(url, timeout)

    # Daemon threads: a name server that does not answer must not keep the module from ending.
    threads = [threading.Thread(target=ask_one, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [found.get(url, Answer(url, f"did not answer within {timeout:g} s")) for url in urls]


def decide(
    requested: str,
    *,
    built: t.Callable[[], bool],
    downloaded: t.Callable[[], bool],
    answers: t.Callable[[], list[Answer]],
    within: float,
) -> Decision:
    """Choose the source. Check only as much as the choice needs."""
    if requested != "auto":
        return Decision(requested, f"{requested}: set by the user")
    if built():
        return Decision("source", "source: all artefacts of these pins are already built on this host", complete=True)
    if downloaded():
        return Decision("upstream", "upstream: all artefacts of these pins are already downloaded", complete=True)
    heard = answers()
    silent = [answer for answer in heard if answer.error]
    if not silent:
        said = f"all {len(heard)} upstream endpoints answered within {within:g} s"
        return Decision("upstream", f"upstream: nothing is built for these pins, and {said}", answers=heard)
    said = f"{len(silent)} of {len(heard)} upstream endpoints cannot be used: {_why(silent)}"
    return Decision("source", f"source: nothing is built for these pins yet, and {said}", answers=heard)


def _why(silent: t.Sequence[Answer]) -> str:
    """List unusable endpoints, grouped by reason."""
    hosts: dict[str, list[str]] = {}
    for answer in silent:
        hosts.setdefault(answer.error, []).append(urllib.parse.urlsplit(answer.url).netloc)
    return "; ".join(f"{', '.join(dict.fromkeys(names))} {error}" for error, names in hosts.items())
