# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An HTTP client for one API server with a persistent connection per thread and retries. PRIVATE to the collection.

It only uses http.client. A session library would read proxies and credentials from the environment, which must not
decide which cluster is used. Such a library would also take most of the time of a small request.
"""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._kube.config import Endpoint

# Status codes that are worth a retry until the deadline. 500 is often permanent (server-side apply returns it for a
# manifest that does not match the schema), so it is retried only a few times.
_BUSY = frozenset({429, 502, 503, 504})
_TRIES_ON_500 = 3
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0
_BROKEN = (OSError, http.client.HTTPException)


@dataclass
class Response:
    """One response of the server with any status."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> t.Any:
        """Decode the body; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


class Transport:
    """Send requests with retries; thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float = 30,
        retry_for: float = 30,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self.endpoint = endpoint
        self.timeout = timeout
        self.retry_for = retry_for
        self.clock = clock
        self.sleep = sleep
        self.warnings: set[str] = set()
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        content_type: str = "application/json",
        retry_for: float | None = None,
    ) -> Response:
        """Send a request, retry while the server is busy or unreachable, and return the last response.

        Retry a POST only if the server cannot have processed it.
        """
        started = self.clock()
        deadline = started + (self.retry_for if retry_for is None else retry_for)
        delay, attempts = _FIRST_DELAY, 0
        while True:
            attempts += 1
            answer: Response | None = None
            failure: BaseException | None = None
            try:
                answer = self._attempt(method, path, body, content_type)
            except ssl.SSLCertVerificationError as error:
                raise ApiUnavailable(
                    f"{method} {self.endpoint.url}{path}: the server's certificate does not match the kubeconfig: "
                    f"{error.verify_message}. Check whether another cluster uses this address."
                ) from error
            except _BROKEN as error:
                if method == "POST" and not isinstance(error, ConnectionRefusedError):
                    raise self._unavailable(method, path, error, attempts, started) from error
                failure = error
            if answer and not self._try_again(answer, method, attempts):
                return answer
            wait = max(delay, _retry_after(answer))
            if self.clock() + wait > deadline:
                if answer:
                    return answer
                raise self._unavailable(method, path, failure, attempts, started) from failure
            self.sleep(wait)
            delay = min(delay * 2, _LONGEST_DELAY)

    def stream(self, path: str, *, timeout: float) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Open a GET request on a separate connection, which the caller reads line by line and closes."""
        connection = self._connect(timeout)
        try:
            connection.request("GET", self.endpoint.path + path, headers=self._headers(None))
            return connection, connection.getresponse()
        except BaseException:
            connection.close()
            raise

    def _attempt(self, method: str, path: str, body: bytes | None, content_type: str) -> Response:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            try:
                return self._send(connection, method, path, body, content_type)
            except _BROKEN:
                # Usually the server closed an idle connection. Retry idempotent requests at once on a new connection.
                self._drop(connection)
                if method == "POST":
                    raise
        connection = self._connect(self.timeout)
        self._local.connection = connection
        try:
            return self._send(connection, method, path, body, content_type)
        except _BROKEN:
            self._drop(connection)
            raise

    def _send(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None, content_type: str
    ) -> Response:
        headers = self._headers(content_type if body is not None else None)
        connection.request(method, self.endpoint.path + path, body=body, headers=headers)
        answer = connection.getresponse()
        response = Response(answer.status, answer.headers, answer.read())
        for warning in answer.headers.get_all("Warning") or []:
            self.warnings.add(_warning_text(warning))
        if answer.will_close:
            self._drop(connection)
        return response

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        end = self.endpoint
        if end.tls:
            return http.client.HTTPSConnection(end.host, end.port, timeout=timeout, context=end.tls)
        return http.client.HTTPConnection(end.host, end.port, timeout=timeout)

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._local.connection = None

    def _headers(self, content_type: str | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": "drystone", **self.endpoint.headers}
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    @staticmethod
    def _try_again(answer: Response, method: str, attempts: int) -> bool:
        if answer.status in _BUSY:
            return method != "POST" or answer.status == 429
        return answer.status == 500 and method != "POST" and attempts < _TRIES_ON_500

    def _unavailable(
        self, method: str, path: str, error: BaseException | None, attempts: int, started: float
    ) -> ApiUnavailable:
        what = str(error) or type(error).__name__
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts in {self.clock() - started:.0f} s"
        return ApiUnavailable(
            f"{method} {self.endpoint.url}{path}: {what} ({times}). Check that the cluster is running.",
            server=self.endpoint.url,
        )


def _retry_after(answer: Response | None) -> float:
    try:
        return float(answer.headers.get("Retry-After", 0)) if answer else 0.0
    except ValueError:
        return 0.0


def _warning_text(header: str) -> str:
    """Return the text of a header such as: 299 - "v1 Endpoints is deprecated"."""
    start, end = header.find('"'), header.rfind('"')
    return header[start + 1 : end].replace('\\"', '"') if 0 <= start < end else header
