# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials of git-sync, validated by their form. PRIVATE to the collection.

A credential knows its format in git-sync's Secret, its public properties, and its confidential parts.
"""

from __future__ import annotations

import base64
import re
import typing as t
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import HostKey
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import SshKey
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import cryptography_imports
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import fingerprint

with cryptography_imports:
    from cryptography.x509 import load_pem_x509_certificates

# The keys of git-sync's Secret. Other keys are not changed.
SHAPE = ("ssh", "known_hosts", "username", "password", "ca.crt")
_SCP = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<path>(?!//).+)")
_HOST = re.compile(r"[0-9a-zA-Z_][\w.-]*|[0-9a-fA-F:.]+")
_SHORTEST_HIDDEN = 8


@dataclass(frozen=True)
class Repository:
    """The URL of a repository."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def host_key_name(self) -> str:
        """The name with which ssh looks up the host's keys."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def password_in(url: str | None) -> set[str]:
    """Return the password in a URL that must not contain one."""
    found = re.match(r"[\w+.-]+://[^/@]*?:([^/]*)@", url or "")
    return {found[1]} - {""} if found else set()


def read_repository(url: str, what: str) -> Repository:
    """Parse a URL. Raise InvalidInput without any password if git-sync could not use the URL."""
    scp = _SCP.fullmatch(url) if "://" not in url else None
    try:
        parts = urlsplit(f"ssh://{scp['host']}/{scp['path']}" if scp else url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise InvalidInput(
            f"{what} is not a valid URL: its host or its port cannot be read.", reason="url_invalid"
        ) from None
    if parts.password is not None or (scheme == "https" and parts.username is not None):
        raise InvalidInput(
            f"{what} contains a credential for {host}, which everybody could see. Set username and password or "
            "password_file instead, and remove them from the URL.",
            reason="url_invalid",
        )
    if scheme not in ("ssh", "https"):
        raise InvalidInput(
            f"{what} is {url}. Use ssh://user@host:port/path, user@host:path or https://host:port/path: other "
            "schemes support no credentials or send them unencrypted.",
            reason="url_invalid",
        )
    if not _HOST.fullmatch(host) or parts.path in ("", "/") or re.search(r"\s", url):
        raise InvalidInput(f"{what} is {url}, but has no host or no path.", reason="url_invalid")
    return Repository(url, scheme, host, port or {"ssh": 22, "https": 443}[scheme])


@dataclass(frozen=True)
class SshCredential:
    """A private key and the host keys of the server."""

    key: SshKey
    host_keys: tuple[HostKey, ...]

    auth: t.ClassVar[str] = "ssh"

    @property
    def data(self) -> dict[str, str]:
        """The values of the Secret."""
        return {"ssh": self.key.text, "known_hosts": "".join(f"{key.line}\n" for key in self.host_keys)}

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the credential."""
        return self.key.fingerprint

    @property
    def title(self) -> str:
        """The name of the credential, for messages."""
        return f"the SSH key {self.fingerprint}"


@dataclass(frozen=True)
class HttpsCredential:
    """A user with a password or token, and the CA of the server's certificate if it is not a public one."""

    username: str
    password: str = field(repr=False)
    ca_cert: str = ""

    auth: t.ClassVar[str] = "https"

    @property
    def data(self) -> dict[str, str]:
        """The values of the Secret."""
        ca_cert = {"ca.crt": self.ca_cert} if self.ca_cert else {}
        return {"username": self.username, "password": self.password, **ca_cert}

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the credential."""
        return fingerprint(f"{self.username}\n{self.password}".encode())

    @property
    def title(self) -> str:
        """The name of the credential, for messages."""
        return f"the password or token of {self.username}"

    def store_line(self, repository: Repository) -> str:
        """The credential in the format of git's credential store."""
        where = urlsplit(repository.url).netloc
        return f"https://{quote(self.username, safe='')}:{quote(self.password, safe='')}@{where}\n"


Credential: t.TypeAlias = "SshCredential | HttpsCredential"


def read_https(username: str | None, password: str | None, ca_cert: str | None) -> HttpsCredential:
    """Validate the form of a credential for HTTPS."""
    password = (password or "").rstrip("\r\n")
    for name, value in (("username", username or ""), ("password", password)):
        if not value:
            raise InvalidInput(f"The {name} for HTTPS is missing or empty.", reason=f"{name}_missing")
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise InvalidInput(
                f"The {name} for HTTPS contains a line break or a control character, which git-sync cannot send.",
                reason=f"{name}_invalid",
            )
    if ":" in (username or ""):
        raise InvalidInput(
            "The username for HTTPS contains a colon, which basic authentication does not support.",
            reason="username_invalid",
        )
    ca_cert = f"{ca_cert.strip()}\n" if ca_cert and ca_cert.strip() else ""
    if ca_cert:
        try:
            load_pem_x509_certificates(ca_cert.encode())
        except ValueError:
            raise InvalidInput(
                "The ca_cert contains no valid certificate in PEM format. Set it from BEGIN to END CERTIFICATE.",
                reason="ca_cert_unreadable",
            ) from None
        if "PRIVATE KEY" in ca_cert:
            raise InvalidInput(
                "The ca_cert contains a private key. Set only the certificates.", reason="ca_cert_unreadable"
            )
    return HttpsCredential(username or "", password, ca_cert)


def secrets_of(data: dict[str, str], *, shown: str = "") -> set[str]:
    """Return the forms in which a confidential value could appear in output: whole, by line and encoded.

    Some lines of an RSA key in PEM format are also lines of its public key, which may be shown.
    """
    forms: set[str] = set()
    for text in (data.get("ssh", ""), data.get("password", "")):
        whole = text.strip()
        forms |= {text, whole, quote(whole, safe=""), _encoded(text), _encoded(whole)}
        forms |= {line.strip() for line in text.splitlines() if "-----" not in line}
    forms.add(_encoded(f"{data.get('username', '')}:{data.get('password', '')}"))  # the form in HTTP requests
    return {form for form in forms if len(form) >= _SHORTEST_HIDDEN and form not in shown}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
