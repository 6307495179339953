# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only ConfigMap that the publisher may write, at the API server of this Pod's cluster."""

from __future__ import annotations

import http.client
import json
import ssl
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

Object = dict[str, t.Any]

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MANAGER = "drystone-commit-publisher"
TIMEOUT = 10.0
LARGEST_ANSWER = 8 * 1024 * 1024

# Hints for errors that need a change outside this process
_HINTS = {
    401: "the API server does not accept this Pod's token",
    403: "the Role of this Pod's ServiceAccount must allow get and patch of this ConfigMap",
    404: "the workload's manifests (component git-content) contain the ConfigMap: sync the Application",
}


class ApiError(Exception):
    """An error of the API server or of the connection to it. The status is 0 without a response."""

    def __init__(self, what: str, status: int, message: str, retry_after: float = 0) -> None:
        hint = f" ({_HINTS[status]})" if status in _HINTS else ""
        super().__init__(f"{what}: {f'HTTP {status}: ' if status else ''}{message}{hint}")
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True)
class ConfigMap:
    """A ConfigMap by its name. Each request reads token and CA, because Kubernetes replaces them in a running Pod."""

    server: str
    namespace: str
    name: str
    account: Path = ACCOUNT
    timeout: float = TIMEOUT

    @classmethod
    def in_cluster(cls, namespace: str, name: str, environ: Mapping[str, str]) -> ConfigMap:
        """Use the API server in the environment that Kubernetes sets in every Pod."""
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
        return cls(f"https://{f'[{host}]' if ':' in host else host}:{port}", namespace, name)

    def read(self) -> Object:
        """Read the ConfigMap."""
        return self._call("GET")

    def write(self, version: str, annotations: dict[str, str], data: dict[str, str]) -> None:
        """Set annotations and data. Raise a conflict (409) if the ConfigMap has changed since that version."""
        metadata = {"resourceVersion": version, "annotations": annotations}
        self._call("PATCH", {"metadata": metadata, "data": data})

    def _call(self, method: str, body: Object | None = None) -> Object:
        what = f"{'reading' if method == 'GET' else 'writing'} ConfigMap {self.namespace}/{self.name}"
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{self.name}"
        try:
            headers = {
                "Accept": "application/json",
                "Authorization": f"Bearer {(self.account / 'token').read_text('ascii').strip()}",
                "User-Agent": MANAGER,
            }
            if body is not None:
                headers["Content-Type"] = "application/merge-patch+json"
                path += f"?fieldManager={MANAGER}"
            connection = self._connect()
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = connection.getresponse()
                text = answer.read(LARGEST_ANSWER)
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ApiError(what, 0, f"{type(error).__name__}: {error}") from error
        if answer.status != 200:
            raise ApiError(what, answer.status, _message(text), _seconds(answer.headers.get("Retry-After")))
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ApiError(what, 0, f"the answer is not JSON: {error}") from error
        if not isinstance(found, dict) or found.get("kind") != "ConfigMap":
            raise ApiError(what, 0, "the answer is not a ConfigMap")
        return found

    def _connect(self) -> http.client.HTTPConnection:
        url = urlsplit(self.server)
        host = url.hostname or ""
        if url.scheme == "http":  # tests alone: the server of a Pod's cluster is https
            return http.client.HTTPConnection(host, url.port, timeout=self.timeout)
        context = ssl.create_default_context(cafile=str(self.account / "ca.crt"))
        return http.client.HTTPSConnection(host, url.port, timeout=self.timeout, context=context)


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text.decode(errors="replace")[:200]


def _seconds(retry_after: str | None) -> float:
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0
