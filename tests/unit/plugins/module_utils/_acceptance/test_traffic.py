# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests at a constant rate, and what became of each."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.traffic import Traffic
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput


class Site(ThreadingHTTPServer):
    """A server that answers with a status and remembers the headers of each request."""

    daemon_threads = True
    status = 200

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.enough = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/app"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        site = t.cast(Site, self.server)
        site.seen.append(dict(self.headers))
        self.send_response(site.status)
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/other")
        self.end_headers()
        if len(site.seen) >= 20:
            site.enough.set()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def test_requests_are_counted_and_carry_the_headers(site: Site) -> None:
    client = Traffic("hello", site.url, {"Host": "example.com", "X-Auth-Token": b"T1&e"}, 200)
    with client:
        assert site.enough.wait(20)
    assert client.sent == len(site.seen) >= 20
    assert client.failed == 0
    assert {(one["Host"], one["X-Auth-Token"]) for one in site.seen} == {("example.com", "T1&e")}
    name, requests, failed, _slow, answers = client.cells()
    assert (name, failed, answers) == ("hello", "0", f"{client.sent} x 200")
    assert requests.startswith(f"{client.sent} in ")


def test_other_answers_are_failures(site: Site) -> None:
    site.status = 503
    client = Traffic("hello", site.url, {}, 200)
    with client:
        assert site.enough.wait(20)
    assert client.failed == client.sent
    assert client.cells()[-1] == f"{client.sent} x 503"


def test_a_redirect_is_a_failure_and_gets_no_headers(site: Site) -> None:
    site.status = 302
    client = Traffic("hello", site.url, {"X-Auth-Token": "T1&e"}, 200)
    with client:
        assert site.enough.wait(20)
    assert client.failed == client.sent == len(site.seen)


def test_no_answer_is_a_failure(site: Site) -> None:
    site.server_close()
    client = Traffic("hello", site.url, {}, 100)
    with client:
        while not client.sent:
            threading.Event().wait(0.01)
    assert client.failed == client.sent
    assert "ConnectionError" in client.cells()[-1]


def test_a_rate_below_one_is_refused() -> None:
    with pytest.raises(InvalidInput, match="rate is 0"):
        Traffic("hello", "http://127.0.0.1/", {}, 0)
