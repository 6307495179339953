# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests at a constant rate, and what became of each. PRIVATE to the collection."""

from __future__ import annotations

import threading
import time
import typing as t
from collections import Counter

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.http import Transport
from ansible_collections.drystone.platform.plugins.module_utils._ready.http_check import SecretHeader

try:
    import requests

    HAS_REQUESTS = True
except ImportError:
    HAS_REQUESTS = False

_THREADS = 8
_TIMEOUT = 10.0


class Traffic:
    """A client that sends requests while the context is open. Each request has a connection of its own.

    A request fails if there is no answer within 10 seconds or if the answer is not 2xx.
    """

    def __init__(
        self,
        name: str,
        url: str,
        headers: t.Mapping[str, str | bytes],
        rate: int,
        *,
        threads: int = _THREADS,
        clock: t.Callable[[], float] = time.monotonic,
    ) -> None:
        if not HAS_REQUESTS:
            raise InvalidInput(missing_required_lib("requests", reason="to send requests"))
        if rate < 1:
            raise InvalidInput(f"The rate is {rate}. Give 1 request per second or more.")
        self.name = name
        self._url = url
        # A redirect could send the headers to another host.
        self._how: dict[str, t.Any] = {"headers": dict(headers), "timeout": _TIMEOUT, "allow_redirects": False}
        self._rate = rate
        self._clock = clock
        self._answers: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,), daemon=True) for number in range(threads)]
        self._started = 0.0
        self._duration = 0.0

    @classmethod
    def from_options(cls, target: t.Mapping[str, t.Any], rate: int, transport: Transport) -> Traffic:
        """Build a client for a target. Headers whose values are in Secrets are read once."""
        headers: dict[str, str | bytes] = dict(target["headers"])
        for given in target["secret_headers"]:
            value, problem = SecretHeader(**given).read(transport)
            if problem:
                raise NotReady(f"Sending requests to {target['url']}: {problem}.")
            headers[given["header"]] = value
        return cls(target["name"], target["url"], headers, rate)

    def __enter__(self) -> t.Self:
        self._started = self._clock()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._duration = self._clock() - self._started

    @property
    def sent(self) -> int:
        """The number of requests."""
        return sum(self._answers.values())

    @property
    def failed(self) -> int:
        """The number of requests without an answer 2xx."""
        return sum(count for answer, count in self._answers.items() if not answer.startswith("2"))

    def cells(self) -> list[str]:
        """Return the result: the target, requests, failed requests, the 95th percentile, and the answers."""
        ordered = sorted(self._seconds)
        slow = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] if ordered else 0.0
        answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(self._answers.items()))
        return [
            self.name,
            f"{self.sent} in {self._duration:.0f} s",
            str(self.failed),
            f"{slow * 1000:.0f} ms",
            answers or "none",
        ]

    def _send(self, number: int) -> None:
        count = len(self._threads)
        # Each thread has its own share of the moments at which a request is due.
        due = self._started + number / self._rate
        while not self._stop.wait(max(0.0, due - self._clock())):
            began = self._clock()
            answer = self._answer()
            with self._lock:
                self._answers[answer] += 1
                self._seconds.append(self._clock() - began)
            due += count / self._rate

    def _answer(self) -> str:
        try:
            with requests.Session() as session:
                # Ignore proxies and .netrc of the environment: they are not meant for a cluster.
                session.trust_env = False
                return str(session.get(self._url, **self._how).status_code)
        except requests.RequestException as error:
            return type(error).__name__
