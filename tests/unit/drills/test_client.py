# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client that acts as a user during a drill."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

CLIENT = Path(__file__).resolve().parents[3] / "playbooks/drills/files/client.py"


class Service(ThreadingHTTPServer):
    """hello on /app, which wants a token, and Rokken's items on /api/items, which may lose one."""

    def __init__(self) -> None:
        self.items: set[int] = set()
        self.created = 0
        self.fails: set[int] = set()
        self.forgets: set[int] = set()
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    server: Service

    def answer(self, status: int, body: Any = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        if self.path == "/app":
            right = (self.headers["Host"], self.headers["X-Auth-Token"]) == ("dev.example.com", "right")
            self.answer(200 if right else 401)
        else:
            self.answer(200 if int(self.path.rpartition("/")[2]) in self.server.items else 404)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.created += 1
            number = self.server.created
            if number in self.server.fails:
                self.answer(503)
                return
            if number not in self.server.forgets:
                self.server.items.add(number)
        self.answer(201, {"id": number})

    def do_DELETE(self) -> None:
        self.server.items.discard(int(self.path.rpartition("/")[2]))
        self.answer(204)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the overridden method
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def run(folder: Path, service: Service, path: str, *arguments: str) -> dict[str, Any]:
    url = f"--url=http://127.0.0.1:{service.server_port}{path}"
    command = [sys.executable, str(CLIENT), f"--directory={folder}", url, "--rate=50", "--seconds=1", *arguments]
    subprocess.run(command, check=True, timeout=30)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


def kubectl(folder: Path) -> str:
    """Return a kubectl that shows the token `right`, in Base64."""
    script = folder / "kubectl"
    script.write_text('#!/bin/sh\n[ "$1 $4" = "--namespace=dev hello" ] && printf cmlnaHQ=\n')
    script.chmod(0o755)
    return str(script)


def test_a_user_sends_the_token_of_the_secret_and_counts_failures(service: Service, tmp_path: Path) -> None:
    token = (f"--kubectl={kubectl(tmp_path)}", "--token-of=dev/hello")
    good = run(tmp_path, service, "/app", "--host=dev.example.com", *token)
    assert good["sent"] > 10
    assert good["failed"] == 0
    bad = run(tmp_path, service, "/app", *token)
    assert bad["failed"] == bad["sent"]
    assert bad["first_failures"][0][1] == "status 401"


def test_an_acknowledged_item_that_is_gone_is_missing(service: Service, tmp_path: Path) -> None:
    service.fails, service.forgets = {2, 3}, {5}
    result = run(tmp_path, service, "/api/items", "--items")
    assert (result["failed"], result["missing"]) == (2, 1)
    assert result["acknowledged"] == result["sent"] - 2
    assert service.items == set()


def test_the_file_stop_ends_the_client(service: Service, tmp_path: Path) -> None:
    (tmp_path / "stop").touch()
    assert run(tmp_path, service, "/app", "--seconds=100")["seconds"] < 30
