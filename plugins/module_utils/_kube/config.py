# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a kubeconfig file. PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import typing as t
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ansible.module_utils.common.yaml import HAS_YAML, yaml_load

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

_UNSUPPORTED_USER = ("exec", "auth-provider", "as", "as-uid", "as-groups")
_UNSUPPORTED_CLUSTER = ("proxy-url", "tls-server-name")


@dataclass
class Endpoint:
    """The address of an API server and the credentials for it."""

    host: str
    port: int
    path: str = ""
    tls: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The server's URL, for messages."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


def load_kubeconfig(path: str, context: str | None = None) -> Endpoint:
    """Read the endpoint of one context from one file. Ignore the environment."""
    document = _read(path)
    name = context or document.get("current-context")
    if not name:
        raise InvalidInput(f"Reading kubeconfig {path}: it has no current-context. Set context.", kubeconfig=path)
    chosen = _entry(document, "contexts", "context", name, path)
    cluster = _entry(document, "clusters", "cluster", chosen.get("cluster"), path)
    user = _entry(document, "users", "user", chosen["user"], path) if chosen.get("user") else {}
    return _endpoint(cluster, user, path)


def _read(path: str) -> dict[str, t.Any]:
    if not HAS_YAML:
        raise InvalidInput(f"Reading kubeconfig {path}: the Python library PyYAML is missing. Install it.")
    try:
        with open(path, encoding="utf-8") as stream:
            document = yaml_load(stream)
    except FileNotFoundError:
        raise InvalidInput(
            f"Reading kubeconfig {path}: the file does not exist. Create the cluster first.", kubeconfig=path
        ) from None
    except OSError as error:
        raise InvalidInput(f"Reading kubeconfig {path}: {error.strerror}.", kubeconfig=path) from error
    except ValueError as error:
        raise InvalidInput(f"Reading kubeconfig {path}: it is not a text file.", kubeconfig=path) from error
    except Exception as error:
        # The class of a YAML error cannot be imported if PyYAML is missing. Do not repeat the text, which may contain
        # a key.
        if not type(error).__module__.startswith("yaml"):
            raise
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InvalidInput(f"Reading kubeconfig {path}: it is not valid YAML{where}.", kubeconfig=path) from None
    if not isinstance(document, dict):
        raise InvalidInput(f"Reading kubeconfig {path}: the file is not a kubeconfig.", kubeconfig=path)
    return document


def _entry(document: dict[str, t.Any], section: str, key: str, name: t.Any, path: str) -> dict[str, t.Any]:
    entries = [entry for entry in document.get(section) or [] if isinstance(entry, dict)]
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(key) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise InvalidInput(
        f"Reading kubeconfig {path}: it has no {key} named {name!r}. It contains: {known}.", kubeconfig=path
    )


def _endpoint(cluster: dict[str, t.Any], user: dict[str, t.Any], path: str) -> Endpoint:
    refused = [key for key in _UNSUPPORTED_USER if user.get(key)]
    refused += [key for key in _UNSUPPORTED_CLUSTER if cluster.get(key)]
    if refused:
        raise InvalidInput(
            f"Reading kubeconfig {path}: {', '.join(refused)} is not supported. "
            "Use a kubeconfig with a client certificate or a token and a direct connection to the server.",
            kubeconfig=path,
        )
    server = urlsplit(str(cluster.get("server") or ""))
    try:
        port = server.port
    except ValueError:
        port = -1
    if server.scheme not in ("http", "https") or not server.hostname or port == -1:
        raise InvalidInput(
            f"Reading kubeconfig {path}: server {cluster.get('server')!r} is not an http(s) URL.", kubeconfig=path
        )
    headers = {}
    if token := _token(user, path):
        headers["Authorization"] = f"Bearer {token}"
    elif user.get("username"):
        pair = f"{user['username']}:{user.get('password', '')}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    tls = _tls(cluster, user, path) if server.scheme == "https" else None
    return Endpoint(server.hostname, port or (443 if tls else 80), server.path.rstrip("/"), tls, headers)


def _token(user: dict[str, t.Any], path: str) -> str:
    if user.get("token"):
        return str(user["token"])
    if user.get("tokenFile"):
        return _file(user["tokenFile"], path, "tokenFile").decode().strip()
    return ""


def _tls(cluster: dict[str, t.Any], user: dict[str, t.Any], path: str) -> ssl.SSLContext:
    insecure = bool(cluster.get("insecure-skip-tls-verify"))
    authority = _data(cluster, "certificate-authority", path)
    certificate, key = _data(user, "client-certificate", path), _data(user, "client-key", path)
    try:
        # Without an authority in the file use those of the system, like kubectl.
        tls = ssl.create_default_context(cadata=authority.decode("ascii") if authority and not insecure else None)
        if insecure:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        if certificate and key:
            _load_pair(tls, certificate, key)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidInput(
            f"Reading kubeconfig {path}: its certificates or its key are unusable ({type(error).__name__}).",
            kubeconfig=path,
        ) from error
    return tls


def _load_pair(tls: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load a client certificate from a temporary file (mode 0600), because Python reads it only from a file."""
    descriptor, name = tempfile.mkstemp(prefix="drystone-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(certificate.rstrip() + b"\n" + key)
        tls.load_cert_chain(name)
    finally:
        os.unlink(name)


def _data(section: dict[str, t.Any], key: str, path: str) -> bytes:
    if section.get(f"{key}-data"):
        try:
            return base64.b64decode(section[f"{key}-data"], validate=False)
        except (binascii.Error, ValueError, TypeError):
            raise InvalidInput(f"Reading kubeconfig {path}: {key}-data is not base64.", kubeconfig=path) from None
    return _file(section[key], path, key) if section.get(key) else b""


def _file(name: str, path: str, key: str) -> bytes:
    full = os.path.join(os.path.dirname(os.path.abspath(path)), name)
    try:
        with open(full, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise InvalidInput(f"Reading kubeconfig {path}: {key} {full}: {error.strerror}.", kubeconfig=path) from error
