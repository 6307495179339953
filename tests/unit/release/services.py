# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry with a login and an API like GitHub's, on one port of this host."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import typing as t
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USER, PASSWORD, TOKEN = "robot", "S3cret of the registry", "t0ken-of-github"


class Services:
    """What was pushed to the registry, and what exists in the repository of GitHub."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.releases: list[dict[str, t.Any]] = []
        self.pulls: list[dict[str, t.Any]] = []
        self.refused: set[str] = set()  # METHOD and the start of a path that are answered with 500
        self.writes: list[str] = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                code, content = services.handle(self.command, self.path, self.headers["Authorization"] or "", body)
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_POST = answer  # noqa: N815  the names that http.server requires

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> t.Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def digest(self, name: str) -> str:
        """The digest of an image NAME:TAG."""
        return "sha256:" + hashlib.sha256(self.manifests[name]).hexdigest()

    def handle(self, method: str, path: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        if any(f"{method} {path}".startswith(start) for start in self.refused):
            return 500, b"the disk is full"
        if method != "GET":
            self.writes.append(f"{method} {path}")
        if path.startswith("/v2/"):
            if authorization != "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode():
                return 401, b"unauthorized: incorrect username or password"
            return self.registry(method, path.removeprefix("/v2/"), body)
        if authorization != f"Bearer {TOKEN}":
            return 401, b'{"message": "Bad credentials"}'
        return self.github(method, path.removeprefix("/repos/acme/drystone"), body)

    def registry(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if found := re.fullmatch(r"(.+)/manifests/(.+)", path):
            name = f"{found[1]}:{found[2]}"
            if method == "PUT":
                self.manifests[name] = body
            return (200, self.manifests[name]) if name in self.manifests else (404, b"manifest unknown")
        if found := re.fullmatch(r".+/blobs/uploads/1\?digest=(.+)", path):
            self.blobs[found[1]] = body
            return 201, b""
        if found := re.fullmatch(r".+/blobs/(.+)", path):
            return 200, self.blobs[found[1]]
        return 200, b"{}"

    def github(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if method == "GET" and path.startswith("/pulls?"):
            return 200, json.dumps([one for one in self.pulls if one["head"].replace("/", "%2F") in path]).encode()
        if method == "GET" and path.startswith("/releases/tags/"):
            found = [one for one in self.releases if one["tag_name"] == path.rpartition("/")[2]]
            return (200, json.dumps(found[0]).encode()) if found else (404, b'{"message": "Not Found"}')
        created = {**json.loads(body), "html_url": f"http://{self.address}/acme/drystone{path}/1"}
        (self.pulls if path == "/pulls" else self.releases).append(created)
        return 201, json.dumps(created).encode()
