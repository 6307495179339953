# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Which way artefacts come: what was asked for, what is there already, what answers."""

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

# What `uname -m` says -> what Go, and with it upstream's files and images, call it.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# A registry that wants a token answers so, and it is there.
_ASKS_FOR_A_TOKEN = 401
_QUESTION_TIMEOUT = 60.0


@dataclass(frozen=True)
class Answer:
    """What came of asking one endpoint; no error means that it answered as it should."""

    url: str
    error: str = ""


@dataclass(frozen=True)
class Decision:
    """A source and why it is that one."""

    source: str
    msg: str
    # Everything is here already for these pins.
    complete: bool = False
    answers: list[Answer] = field(default_factory=list)


def architecture(machine: str) -> str:
    """Name this processor as upstream's files do."""
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        raise InvalidInput(
            f"Looking where artefacts come from: this processor is {machine}, and upstream publishes for "
            f"{' and '.join(_ARCHITECTURES)}. Use another host."
        ) from None


def is_built(run: Run, directory: str, cache: str, pins: t.Mapping[str, t.Any]) -> bool:
    """Tell whether the build graph has nothing left to do for these pins.

    Reading the graph makes its directories, so it is asked only where something was built before.
    """
    if not os.path.isdir(os.path.join(cache, "build", "stamps")):
        return False
    settings = [f"CACHE={cache}", *(f"{name}={value}" for name, value in sorted(pins.items()))]
    make = ["make", "--no-print-directory", "--directory", directory, *settings, "--question"]
    return run(make, _QUESTION_TIMEOUT).rc == 0


def ask(url: str, timeout: float) -> Answer:
    """Ask one endpoint; redirects are followed, because that is where the file would come from."""
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
    """Ask all endpoints side by side; who has not answered when the time is over counts as silent."""
    found: dict[str, Answer] = {}

    def ask_one(url: str) -> None:
        found[url] = ask(url, timeout)

    # Daemons: a name server that hangs must not keep the module from ending.
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
    """Choose. What is not needed for the choice is not looked at."""
    if requested != "auto":
        return Decision(requested, f"{requested}: asked for")
    if built():
        return Decision("source", "source: everything is built here already for these pins", complete=True)
    if downloaded():
        return Decision("upstream", "upstream: everything was downloaded here already for these pins", complete=True)
    heard = answers()
    silent = [answer for answer in heard if answer.error]
    if not silent:
        said = f"all {len(heard)} upstream endpoints answered within {within:g} s"
        return Decision("upstream", f"upstream: nothing is built here for these pins, and {said}", answers=heard)
    said = f"{len(silent)} of {len(heard)} upstream endpoints cannot be used: {_why(silent)}"
    return Decision("source", f"source: nothing is built here for these pins yet, and {said}", answers=heard)


def _why(silent: t.Sequence[Answer]) -> str:
    """Say who cannot be used, those with the same reason together."""
    hosts: dict[str, list[str]] = {}
    for answer in silent:
        hosts.setdefault(answer.error, []).append(urllib.parse.urlsplit(answer.url).netloc)
    return "; ".join(f"{', '.join(dict.fromkeys(names))} {error}" for error, names in hosts.items())
