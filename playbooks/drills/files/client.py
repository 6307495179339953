# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Act as users during a drill: send requests at a constant rate, each on a new connection, and count failed ones.

With --items, the client creates items of Rokken instead. At the end it reads each item whose creation was
acknowledged, and deletes it.

The client ends when the file `stop` appears in its directory, or after --seconds, and then writes `result.json`.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

THREADS = 10
TIMEOUT = 10
# Seconds in which the service must answer at the end
PATIENCE = 120
SHOWN = 10


def token_of(kubectl: str, secret: str) -> str:
    """Return the token in a Secret, NAMESPACE/NAME. It is never printed."""
    namespace, _slash, name = secret.partition("/")
    command = [kubectl, f"--namespace={namespace}", "get", "secret", name, "--output=jsonpath={.data.token}"]
    return base64.b64decode(subprocess.run(command, check=True, capture_output=True).stdout).decode()


class Client:
    """Users who send requests until they are stopped."""

    def __init__(self, options: argparse.Namespace) -> None:
        parts = urlsplit(options.url)
        self.server, self.path = parts.netloc, parts.path
        self.headers = {"Host": options.host} if options.host else {}
        if options.token_of:
            self.headers["X-Auth-Token"] = token_of(options.kubectl, options.token_of)
        self.rate, self.items = options.rate, options.items
        self.ends = threading.Event()
        self.lock = threading.Lock()
        self.sent = 0
        self.failures: list[list[Any]] = []
        self.acknowledged: list[int] = []

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """Send one request."""
        connection = http.client.HTTPConnection(self.server, timeout=TIMEOUT)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {**self.headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def act(self, number: int) -> None:
        """Send requests as one of the users."""
        due = time.monotonic() + number / self.rate
        while not self.ends.wait(max(0.0, due - time.monotonic())):
            due += THREADS / self.rate
            self.request()

    def request(self) -> None:
        """Send one request and note its result."""
        problem, created = "", None
        try:
            if self.items:
                status, body = self.ask("POST", self.path, {"name": f"drill {time.time_ns()}"})
                created = json.loads(body)["id"] if status == 201 else None
            else:
                status, body = self.ask("GET", self.path)
            if status != (201 if self.items else 200):
                problem = f"status {status}"
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            problem = repr(error)
        with self.lock:
            self.sent += 1
            if created is not None:
                self.acknowledged.append(created)
            if problem:
                self.failures.append([round(time.time(), 1), problem])

    def settle(self) -> dict[str, int]:
        """Read each acknowledged item and delete it. Return how many were there and how many were not."""
        missing = 0
        for item in self.acknowledged:
            path = f"{self.path}/{item}"
            if self.patiently("GET", path) == 404:
                missing += 1
            else:
                self.patiently("DELETE", path)
        return {"acknowledged": len(self.acknowledged), "missing": missing}

    def patiently(self, method: str, path: str) -> int:
        """Send a request until the service answers it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                status, _body = self.ask(method, path)
            except (OSError, http.client.HTTPException):
                status = 0
            if status in (200, 204, 404):
                return status
            if time.monotonic() >= deadline:
                raise SystemExit(f"{method} {path}: no answer within {PATIENCE} s, the last status was {status}")
            time.sleep(0.5)

    def run(self, stop: Path, seconds: float) -> dict[str, Any]:
        """Send requests until the file exists or the time is over, and return the result."""
        started = time.monotonic()
        users = [threading.Thread(target=self.act, args=(number,)) for number in range(THREADS)]
        for user in users:
            user.start()
        while not stop.exists() and time.monotonic() < started + seconds:
            time.sleep(0.2)
        self.ends.set()
        for user in users:
            user.join()
        result = {"seconds": round(time.monotonic() - started, 1), "sent": self.sent, "failed": len(self.failures)}
        return {**result, "first_failures": self.failures[:SHOWN], **(self.settle() if self.items else {})}


def main(arguments: list[str] | None = None) -> None:
    """Run the client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--url", required=True)
    parser.add_argument("--host", default="", help="the header Host")
    parser.add_argument("--rate", type=float, default=10, help="requests per second")
    parser.add_argument("--seconds", type=float, default=3000, help="the longest time")
    parser.add_argument("--kubectl", default="kubectl")
    parser.add_argument("--token-of", default="", help="NAMESPACE/NAME of the Secret with the token to send")
    parser.add_argument("--items", action="store_true", help="create items of Rokken")
    options = parser.parse_args(arguments)
    result = Client(options).run(options.directory / "stop", options.seconds)
    # Whoever reads the result gets all of it or nothing.
    partial = options.directory / "result.partial"
    partial.write_text(json.dumps(result))
    os.replace(partial, options.directory / "result.json")


if __name__ == "__main__":
    main()
