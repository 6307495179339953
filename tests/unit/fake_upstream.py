# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP server that replaces all hosts of upstream and serves files and images.

It counts requests and can inject faults for single paths.
"""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import tarfile
import threading
import typing as t
from collections import Counter
from pathlib import Path

OCI_TYPES = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")


class FakeUpstream:
    """A server for C(files) by path and for added images. Its address is C(host)."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        # Faults by path: a status, "cut" (the response is incomplete), "once" (busy at the first request) or "hang"
        self.faults: dict[str, int | str] = {}
        self.release = threading.Event()
        self._types: dict[str, str] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    def add_file(self, path: str, content: bytes, checksums: str = "", sha256: str = "") -> str:
        """Publish a file and its checksum, which may be wrong."""
        self.files[f"/{path}"] = content
        digest = sha256 or hashlib.sha256(content).hexdigest()
        if checksums:
            line = f"{digest}  {path.rpartition('/')[2]}\n".encode()
            self.files[f"/{checksums}"] = self.files.get(f"/{checksums}", b"") + line
        return digest

    def add_image(self, name: str, layout: Path) -> str:
        """Publish an image that `skopeo copy ... dir:LAYOUT` wrote; return its digest."""
        repository, _colon, tag = name.rpartition(":")
        manifest = (layout / "manifest.json").read_bytes()
        content = json.loads(manifest)
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        for reference in (tag, digest):
            self.files[f"/v2/{repository}/manifests/{reference}"] = manifest
            self._types[f"/v2/{repository}/manifests/{reference}"] = content.get("mediaType", OCI_TYPES[0])
        for blob in [content["config"], *content["layers"]]:
            self.files[f"/v2/{repository}/blobs/{blob['digest']}"] = (
                layout / blob["digest"].partition(":")[2]
            ).read_bytes()
        self.files["/v2/"] = b"{}"
        return digest

    @staticmethod
    def tar_gz(members: dict[str, bytes]) -> bytes:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            for name, content in members.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
        return packed.getvalue()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:  # http.server's name for it
                self._answer(body=True)

            def do_HEAD(self) -> None:  # http.server's name for it
                self._answer(body=False)

            def _answer(self, *, body: bool) -> None:
                upstream.asked[self.path] += 1
                fault = upstream.faults.get(self.path)
                content = upstream.files.get(self.path)
                if fault == "hang":
                    upstream.release.wait()
                if fault == "once" and upstream.asked[self.path] == 1:
                    fault = 503
                if isinstance(fault, int) or content is None:
                    self._refuse(fault if isinstance(fault, int) else 404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("Content-Type", upstream._types.get(self.path, "application/octet-stream"))
                if "/manifests/" in self.path:
                    self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(content).hexdigest()}")
                self.end_headers()
                if body:
                    self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)
                if fault == "cut":
                    self.close_connection = True

            def _refuse(self, status: int) -> None:
                if status != 404 or not self.path.startswith("/v2/"):
                    self.send_error(status)
                    return
                said = json.dumps({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}).encode()
                self.send_response(404)
                self.send_header("Content-Length", str(len(said)))
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)

            def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  # http.server's name for it
                """Log nothing."""

        return Handler
