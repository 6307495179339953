# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP checks of cluster_ready. PRIVATE to the collection."""

from __future__ import annotations

import base64
import http.client
import json
import typing as t
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiUnavailable, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import Status, not_ready, ready
from ansible_collections.drystone.platform.plugins.module_utils._kube.http import Transport
from ansible_collections.drystone.platform.plugins.module_utils._ready.expression import Expression

try:
    import requests

    HAS_REQUESTS = True
except ImportError:
    HAS_REQUESTS = False

_MOST = 1 << 20


@dataclass(frozen=True)
class SecretHeader:
    """A header whose value is a key of a Secret. It is read for each request and never shown."""

    header: str
    namespace: str
    name: str
    key: str

    def read(self, transport: Transport) -> tuple[bytes, str]:
        """Return the value, and the problem if there is no value."""
        secret = f"Secret {self.namespace}/{self.name}"
        path = f"/api/v1/namespaces/{quote(self.namespace)}/secrets/{quote(self.name)}"
        try:
            answer = transport.request("GET", path, retry_for=0)
        except ApiUnavailable as error:
            return b"", f"{secret} cannot be read: {error}"
        if answer.status != 200:
            return b"", f"{secret} cannot be read: the API server answered {answer.status}"
        value = base64.b64decode(((answer.json() or {}).get("data") or {}).get(self.key, ""))
        if not value:
            return b"", f"{secret} has no value under the key {self.key}"
        if value.strip() != value or any(byte < 32 or byte == 127 for byte in value):
            return b"", f"the key {self.key} of {secret} is not one line of text without spaces at its ends"
        return value, ""


@dataclass(frozen=True, eq=False)
class HttpCheck:
    """An HTTP request and its expected response. Each request uses a new connection, as a request of a user does.

    A path instead of a URL is requested from the API server, whose proxy paths lead to services and pods.
    """

    url: str
    status: int
    body: str
    expression: Expression | None
    headers: tuple[tuple[str, str], ...]
    bearer_token: str
    secret_headers: tuple[SecretHeader, ...]
    verify: bool | str

    @classmethod
    def from_options(cls, options: Mapping[str, t.Any]) -> HttpCheck:
        """Build a check from all suboptions of the http condition, and refuse an invalid URL or expression."""
        url = options["url"]
        if url.startswith("/"):
            own = [name for name in ("headers", "bearer_token", "secret_headers", "ca_path") if options[name]]
            if own:
                raise InvalidInput(
                    f"url {url!r} is requested from the API server with the kubeconfig's credentials. Remove {own[0]}, "
                    "or give a full URL."
                )
        else:
            _refuse_url(url)
        verify: bool | str = options["validate_certs"]
        return cls(
            url=url,
            status=options["status"],
            body=options["body"] or "",
            expression=Expression(options["expression"]) if options["expression"] else None,
            headers=tuple((options["headers"] or {}).items()),
            bearer_token=options["bearer_token"] or "",
            secret_headers=tuple(SecretHeader(**one) for one in options["secret_headers"] or ()),
            verify=options["ca_path"] if verify and options["ca_path"] else verify,
        )

    @property
    def of_api_server(self) -> bool:
        """Whether the request goes to the API server of the kubeconfig."""
        return self.url.startswith("/")

    @property
    def of_cluster(self) -> bool:
        """Whether the check needs the API server of the kubeconfig."""
        return self.of_api_server or bool(self.secret_headers)

    @property
    def name(self) -> str:
        """The URL, with the host whose answer is expected if it is another one."""
        host = next((value for name, value in self.headers if name.lower() == "host"), "")
        return f"{self.url} (host {host})" if host else self.url

    def probe(self, timeout: float, transport: Transport | None = None) -> Status:
        """Send one request. The transport is the connection to the API server."""
        if self.of_cluster and transport is None:
            raise InvalidInput(f"Set kubeconfig: the request of {self.url} needs the API server.")
        if self.of_api_server:
            return self._probe_api_server(timeout, t.cast(Transport, transport))
        headers: dict[str, str | bytes] = dict(self.headers)
        secrets = []
        for given in self.secret_headers:
            value, problem = given.read(t.cast(Transport, transport))
            if problem:
                return not_ready(problem)
            headers[given.header] = value
            secrets.append(value)
        if self.bearer_token:
            headers["Authorization"] = f"Bearer {self.bearer_token}"
        try:
            with requests.Session() as session:
                # Ignore proxies and .netrc of the environment: they are not meant for a cluster.
                session.trust_env = False
                with session.get(
                    self.url, headers=headers, timeout=timeout, verify=self.verify, allow_redirects=False, stream=True
                ) as answer:
                    content = answer.raw.read(_MOST, decode_content=True)
                    for value in secrets:
                        content = content.replace(value, b"***")
                    return self._judge(answer.status_code, answer.headers.get("Location"), content, answer.encoding)
        except (requests.RequestException, OSError) as error:
            return not_ready(f"no answer: {_root_cause(error)}")
        except Exception as error:
            # Reading the raw body raises errors of urllib3. Each of them means that there is no response.
            if not type(error).__module__.startswith("urllib3"):
                raise
            return not_ready(f"no answer: {_root_cause(error)}")

    def _probe_api_server(self, timeout: float, transport: Transport) -> Status:
        try:
            connection, answer = transport.stream(self.url, timeout=timeout)
            with closing(connection):
                return self._judge(answer.status, answer.headers.get("Location"), answer.read(_MOST))
        except (http.client.HTTPException, OSError) as error:
            return not_ready(f"no answer: {_root_cause(error)}")

    def _judge(self, code: int, target: str | None, content: bytes, encoding: str | None = None) -> Status:
        text = content.decode(encoding or "utf-8", errors="replace")
        if code != self.status:
            to = f" (redirect to {target})" if target else ""
            return not_ready(f"answered {code}{to}, not {self.status}: {_start(text)}")
        if self.body and self.body not in text:
            return not_ready(f"answered {code} without {self.body!r} in its body: {_start(text)}")
        if self.expression:
            try:
                value = json.loads(text)
            except ValueError:
                return not_ready(f"answered {code}, but the body is not JSON: {_start(text)}")
            status = self.expression.judge(value)
            if not status.ready:
                return status
        return ready(f"answered {code}")


def _refuse_url(url: str) -> None:
    if not HAS_REQUESTS:
        raise InvalidInput(missing_required_lib("requests", reason="for http conditions"))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput(f"url {url!r} is not an http or https URL.", url=url)
    if parts.username or parts.password:
        raise InvalidInput("url contains credentials, which messages would print. Use bearer_token instead.")


def _start(text: str) -> str:
    line = " ".join(text.split())
    return (line if len(line) <= 120 else line[:117] + "...") or "empty body"


def _root_cause(error: BaseException) -> str:
    """Return the innermost error: the system's message without those of the libraries above it."""
    nested = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    inner = error.__cause__ or error.__context__ or nested
    return _root_cause(inner) if inner else str(error) or type(error).__name__
