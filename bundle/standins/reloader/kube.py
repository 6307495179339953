# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A minimal Kubernetes client: list, watch, patch, create."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import typing as t
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

Object = dict[str, t.Any]

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT = 15.0
_PAGE = 500
_BROKEN = (OSError, ValueError, http.client.HTTPException)


class ApiError(Exception):
    """An error of the API server or of the connection to it."""

    def __init__(self, what: str, status: int, message: str) -> None:
        super().__init__(f"{what}: {f'HTTP {status}: ' if status else ''}{message}")
        self.status = status


class Expired(Exception):
    """The API server no longer knows the version to watch from: list again."""


class Api:
    """One API server. It calls `count` for each request with its status (or <error>) and its method."""

    def __init__(
        self,
        server: str,
        token: Callable[[], str],
        context: ssl.SSLContext | None = None,
        count: Callable[[str, str], None] = lambda code, method: None,
    ) -> None:
        self.server = server
        self.host = urlsplit(server).netloc
        self._token = token
        self._count = count
        # Ignore proxies of the environment: the API server is in the same cluster.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if context:
            handlers.append(urllib.request.HTTPSHandler(context=context))
        self._opener = urllib.request.build_opener(*handlers)

    @classmethod
    def in_cluster(cls, count: Callable[[str, str], None]) -> Api:
        """Use the ServiceAccount of this Pod. Each request reads the token, because it changes every hour."""
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        context = ssl.create_default_context(cafile=str(_ACCOUNT / "ca.crt"))
        return cls(server, (_ACCOUNT / "token").read_text, context, count)

    def _open(
        self, method: str, path: str, body: Object | None = None, content_type: str = "", timeout: float = _TIMEOUT
    ) -> t.Any:
        headers = {"Authorization": f"Bearer {self._token().strip()}", "User-Agent": "drystone-reloader-standin"}
        if body is not None:
            headers["Content-Type"] = content_type or "application/json"
        request = urllib.request.Request(  # noqa: S310  the server is given by the Pod's environment
            f"{self.server}{path}", json.dumps(body).encode() if body is not None else None, headers, method=method
        )
        what = f"{method} {urlsplit(path).path}"
        try:
            answer = self._opener.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            with error:
                self._count(str(error.code), method)
                raise ApiError(what, error.code, _message(error.read())) from error
        except (OSError, http.client.HTTPException) as error:
            self._count("<error>", method)
            raise ApiError(what, 0, str(error)) from error
        self._count(str(answer.status), method)
        return answer

    def _call(self, method: str, path: str, body: Object | None = None, content_type: str = "") -> Object:
        try:
            with self._open(method, path, body, content_type) as answer:
                return t.cast("Object", json.load(answer))
        except _BROKEN as error:
            raise ApiError(f"{method} {urlsplit(path).path}", 0, str(error)) from error

    def list(self, path: str) -> tuple[list[Object], str]:
        """Return all objects of a collection and the version to watch from."""
        items: list[Object] = []
        query: dict[str, t.Any] = {"limit": _PAGE}
        while True:
            page = self._call("GET", f"{path}?{urlencode(query)}")
            kind = {"apiVersion": page.get("apiVersion", "v1"), "kind": page["kind"].removesuffix("List")}
            items += [{**kind, **item} for item in page["items"]]
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return items, metadata["resourceVersion"]
            query["continue"] = metadata["continue"]

    def watch(self, path: str, version: str, seconds: int) -> Iterator[tuple[str, Object]]:
        """Yield the changes after a version for the given number of seconds."""
        query = urlencode(
            {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": version, "timeoutSeconds": seconds}
        )
        try:
            # The server ends the watch in time. Otherwise the connection is dead.
            with self._open("GET", f"{path}?{query}", timeout=seconds + _TIMEOUT) as lines:
                for line in lines:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        if event["object"].get("code") == 410:
                            raise Expired
                        raise ApiError(f"GET {path} (watch)", 0, str(event["object"].get("message")))
                    yield event["type"], event["object"]
        except ApiError as error:
            if error.status == 410:
                raise Expired from error
            raise
        except _BROKEN as error:
            raise ApiError(f"GET {path} (watch)", 0, str(error)) from error

    def patch(self, path: str, content_type: str, body: Object, manager: str) -> None:
        """Change an object."""
        self._call("PATCH", f"{path}?{urlencode({'fieldManager': manager})}", body, content_type)

    def create(self, path: str, body: Object) -> None:
        """Create an object."""
        self._call("POST", path, body)


def _message(body: bytes) -> str:
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200]
