# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend in a thread of the test, with a real HTTP server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from app.rokken.backend.service import create_app
from app.rokken.backend.settings import Settings
from app.rokken.tests.postgres import PASSWORD, PostgresServer, free_port


def settings_for(server: PostgresServer, folder: Path, password: str = PASSWORD, **options: Any) -> Settings:
    """Return the settings of a backend that uses this server."""
    file = folder / "database-password"
    file.write_text(f"{password}\n")
    options = {"retry_sec": 0.3, "port": server.port, **options}
    return Settings(host="127.0.0.1", password_file=file, **options)


class Client:
    """Requests to one backend."""

    def __init__(self, url: str) -> None:
        self.url = url

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request and return the response, whatever its status."""
        return requests.request(method, f"{self.url}{path}", timeout=30, **options)

    def create(self, name: str = "An item", description: str = "") -> dict[str, Any]:
        """Create an item and return it."""
        response = self.request("POST", "/api/items", json={"name": name, "description": description})
        assert response.status_code == 201, response.text
        item: dict[str, Any] = response.json()
        return item

    def sample(self, name: str, **labels: str) -> float | None:
        """Return one sample of /metrics, or None if there is none with exactly these labels."""
        found = [
            sample.value
            for family in text_string_to_metric_families(self.request("GET", "/metrics").text)
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        assert len(found) <= 1
        return found[0] if found else None


@contextmanager
def serving(settings: Settings) -> Iterator[Client]:
    """Run the backend until the test is done with it."""
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive(), "the backend ended"
            assert time.monotonic() < deadline, "the backend did not start"
            time.sleep(0.02)
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join()
