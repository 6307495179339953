# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What git-sync needs to read a repository, judged by its form alone. PRIVATE to the collection.

A credential knows its shape in git-sync's Secret, what may be shown of it, and which of its parts may not.
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

# The keys of git-sync's Secret; what else is in there is left alone.
SHAPE = ("ssh", "known_hosts", "username", "password", "ca.crt")
_SCP = re.compile(r"(?:(?P<user>[\w.+-]+)@)?(?P<host>[\w.-]+|\[[0-9a-fA-F:.]+\]):(?P<path>(?!//).+)")
_HOST = re.compile(r"[0-9a-zA-Z_][\w.-]*|[0-9a-fA-F:.]+")
_SHORTEST_HIDDEN = 8


@dataclass(frozen=True)
class Repository:
    """Where a repository is."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def host_key_name(self) -> str:
        """The name under which ssh looks for the host's keys."""
        return self.host if self.port == 22 else f"[{self.host}]:{self.port}"


def password_in(url: str | None) -> set[str]:
    """Find the password in a URL that should have none."""
    found = re.match(r"[\w+.-]+://[^/@]*?:([^/]*)@", url or "")
    return {found[1]} - {""} if found else set()


def read_repository(url: str, what: str) -> Repository:
    """Take a URL apart; InvalidInput, which never repeats a password, if git-sync could not use it as it is."""
    scp = _SCP.fullmatch(url) if "://" not in url else None
    try:
        parts = urlsplit(f"ssh://{scp['host']}/{scp['path']}" if scp else url)
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
    except ValueError:
        raise InvalidInput(f"{what} is no URL: its host or its port cannot be read.", reason="url_invalid") from None
    if parts.password is not None or (scheme == "https" and parts.username is not None):
        raise InvalidInput(
            f"{what} carries a credential for {host}, where everybody sees it. Give username and password or "
            "password_file instead, and the URL without them.",
            reason="url_invalid",
        )
    if scheme not in ("ssh", "https"):
        raise InvalidInput(
            f"{what} is {url}. Use ssh://user@host:port/path, user@host:path or https://host:port/path: with any "
            "other scheme there is no credential, or it is sent in the clear.",
            reason="url_invalid",
        )
    if not _HOST.fullmatch(host) or parts.path in ("", "/") or re.search(r"\s", url):
        raise InvalidInput(f"{what} is {url}, which lacks a host or a path.", reason="url_invalid")
    return Repository(url, scheme, host, port or {"ssh": 22, "https": 443}[scheme])


@dataclass(frozen=True)
class SshCredential:
    """A private key, and the host keys it is used with."""

    key: SshKey
    host_keys: tuple[HostKey, ...]

    auth: t.ClassVar[str] = "ssh"

    @property
    def data(self) -> dict[str, str]:
        """The Secret's values."""
        return {"ssh": self.key.text, "known_hosts": "".join(f"{key.line}\n" for key in self.host_keys)}

    @property
    def fingerprint(self) -> str:
        """What may be shown of it."""
        return self.key.fingerprint

    @property
    def title(self) -> str:
        """The credential for messages."""
        return f"the SSH key {self.fingerprint}"


@dataclass(frozen=True)
class HttpsCredential:
    """A user with a password or token, and the authority of the server's certificate if it is no public one."""

    username: str
    password: str = field(repr=False)
    ca_cert: str = ""

    auth: t.ClassVar[str] = "https"

    @property
    def data(self) -> dict[str, str]:
        """The Secret's values."""
        ca_cert = {"ca.crt": self.ca_cert} if self.ca_cert else {}
        return {"username": self.username, "password": self.password, **ca_cert}

    @property
    def fingerprint(self) -> str:
        """What may be shown of it."""
        return fingerprint(f"{self.username}\n{self.password}".encode())

    @property
    def title(self) -> str:
        """The credential for messages."""
        return f"the password or token of {self.username}"

    def store_line(self, repository: Repository) -> str:
        """The credential as git's credential store has it."""
        where = urlsplit(repository.url).netloc
        return f"https://{quote(self.username, safe='')}:{quote(self.password, safe='')}@{where}\n"


Credential: t.TypeAlias = "SshCredential | HttpsCredential"


def read_https(username: str | None, password: str | None, ca_cert: str | None) -> HttpsCredential:
    """Judge what was given for HTTPS by its form."""
    password = (password or "").rstrip("\r\n")
    for name, value in (("username", username or ""), ("password", password)):
        if not value:
            raise InvalidInput(f"The {name} for HTTPS is missing or empty.", reason=f"{name}_missing")
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise InvalidInput(
                f"The {name} for HTTPS has more than one line or a control character, which git-sync cannot send.",
                reason=f"{name}_invalid",
            )
    if ":" in (username or ""):
        raise InvalidInput(
            "The username for HTTPS has a colon, which basic authentication cannot send.", reason="username_invalid"
        )
    ca_cert = f"{ca_cert.strip()}\n" if ca_cert and ca_cert.strip() else ""
    if ca_cert:
        try:
            load_pem_x509_certificates(ca_cert.encode())
        except ValueError:
            raise InvalidInput(
                "The ca_cert has no certificate in PEM format that can be read. Give it from BEGIN to END CERTIFICATE.",
                reason="ca_cert_unreadable",
            ) from None
        if "PRIVATE KEY" in ca_cert:
            raise InvalidInput(
                "The ca_cert has a private key in it. Give the certificates alone.", reason="ca_cert_unreadable"
            )
    return HttpsCredential(username or "", password, ca_cert)


def secrets_of(data: dict[str, str], *, shown: str = "") -> set[str]:
    """Give the forms in which what is secret of a credential could turn up: whole, by line and encoded.

    Of an RSA key in PEM format some lines are also lines of its public half, which is shown.
    """
    forms: set[str] = set()
    for text in (data.get("ssh", ""), data.get("password", "")):
        whole = text.strip()
        forms |= {text, whole, quote(whole, safe=""), _encoded(text), _encoded(whole)}
        forms |= {line.strip() for line in text.splitlines() if "-----" not in line}
    forms.add(_encoded(f"{data.get('username', '')}:{data.get('password', '')}"))  # as HTTP sends it
    return {form for form in forms if len(form) >= _SHORTEST_HIDDEN and form not in shown}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
