# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of Git servers, most of them told by what git and ssh print in English. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

# What git adds to every failure of the transport.
_CHATTER = ("Please make sure you have the correct access rights", "and the repository exists.")


class RemoteFailed(CommandFailed):
    """A Git server did not give what was asked of it; the classes below say why, and so does the fact reason."""

    reason = "remote_failed"

    def __init__(self, msg: str, **facts: t.Any) -> None:
        super().__init__(msg, reason=self.reason, **facts)


class PermissionDenied(RemoteFailed):
    """The server does not accept the SSH key: it is wrong, withdrawn or not yet authorised."""

    reason = "permission_denied"


class AuthenticationFailed(RemoteFailed):
    """The server answered 401 or 403 over HTTPS: wrong or expired token or password, or no right to the repository."""

    reason = "authentication_failed"


class HostKeyMissing(RemoteFailed):
    """No known host key is the server's."""

    reason = "host_key_missing"


class HostKeyChanged(RemoteFailed):
    """The server shows another host key than the one that is known."""

    reason = "host_key_changed"


class TlsNotTrusted(RemoteFailed):
    """The server's certificate is not trusted, not valid any more or not for this name."""

    reason = "tls_not_trusted"


class RemoteUnavailable(RemoteFailed):
    """Nothing usable answers where the server should be."""

    reason = "remote_unavailable"


class RepositoryNotFound(RemoteFailed):
    """The server has no such repository, or none that this credential may see."""

    reason = "repository_not_found"


class RefNotFound(RemoteFailed):
    """The repository has no such branch, tag or commit."""

    reason = "ref_not_found"


class WriteAllowed(RemoteFailed):
    """A credential that is to read only may write."""

    reason = "write_allowed"


@dataclass(frozen=True)
class _Sign:
    """A class of failures, what gives it away, and what the reader may do."""

    kind: type[CommandFailed]
    pattern: str
    hint: str


# In this order: the first sign found decides. ssh tells of a changed host key before it fails like for an unknown one.
_SIGNS = (
    _Sign(
        HostKeyChanged,
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY",
        "The server's host key is not the one in {known_hosts}: either the server was set up anew or somebody is in "
        "between. Ask its operator for the fingerprint{shown}, and only if it is right replace the known one.",
    ),
    _Sign(
        HostKeyMissing,
        r"host key is known for|Host key verification failed",
        "The server's host key is not the one in {known_hosts}, which has none for this server or of another type.",
    ),
    _Sign(
        PermissionDenied,
        r"Permission denied \(|Too many authentication failures|no mutual signature|Permission denied, please try",
        "The server does not accept the key {private_key}: it is wrong, withdrawn or not yet authorised.",
    ),
    _Sign(
        TlsNotTrusted,
        r"SSL certificate problem|[Cc]ertificate verif|server verification failed|certificate subject name|"
        r"certificate has expired|signer not trusted|[Cc]ertificate.* not trusted|certificate verify locations|"
        r"SSL peer certificate|does not match target host|CA cert|CAfile|server certificate",
        "The server's certificate is not trusted, not valid any more or not for this name. Give the certificate of "
        "its authority, and use a name that the certificate has.",
    ),
    _Sign(
        AuthenticationFailed,
        r"Authentication failed for|returned error: 40[13]\b|HTTP Basic: Access denied|could not read Username|"
        r"Invalid username or (?:password|token)",
        "The server does not accept the password or token of {username}: it is wrong, withdrawn, expired or without "
        "the right to this repository.",
    ),
    _Sign(
        RemoteUnavailable,
        r"Connection refused|Failed to connect|Couldn't connect",
        "Nothing listens there: is the Git server running, and its port mapped?",
    ),
    _Sign(RemoteUnavailable, r"[Cc]ould not resolve|Name or service not known", "Its name is not known here."),
    _Sign(RemoteUnavailable, r"timed out|No route to host|Network is unreachable", "Nothing answered there in time."),
    _Sign(
        RemoteUnavailable,
        r"Connection (?:closed|reset) by|kex_exchange_identification|Empty reply|Recv failure|early EOF|"
        r"returned error: (?:429|5\d\d)|hung up upon initial contact|non-properly terminated|gnutls_handshake|SSL_",
        "Something answered, but no Git server that works.",
    ),
    _Sign(
        RepositoryNotFound,
        r"[Rr]epository not found|does not appear to be a git repository|repository '.*' not found|"
        r"[Rr]epository does not exist|could not be found or you don't have permission|returned error: 404|"
        r"may only read the repository",
        "Is the path right? Servers say the same of a repository that the credential may not see.",
    ),
)
# Names that messages quote, such as a repository called read-only, are no sign.
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)")
_FINGERPRINT = re.compile(r"key sent by the remote host is\s+(SHA256:[\w+/]+)")
# How servers refuse a push to a credential that may read; they agree on no words.
_REFUSALS = re.compile(
    r"only read|read[- ]only|denied|not allowed|not authori[sz]ed|unauthori[sz]ed|forbidden|write access|"
    r"not enabled|not permitted|insufficient permission|returned error: 40[134]\b|Authentication failed",
    re.IGNORECASE,
)


class Credential(t.Protocol):
    """What a failure is told of: the names of the things that were used."""

    @property
    def names(self) -> dict[str, str]: ...


def failure(doing: str, command: str, status: int, stderr: str, used: Credential) -> CommandFailed:
    """Make the exception for a git command that ended with an error."""
    stderr = stderr.replace("\r", "")
    said = f"{doing}: git {command} ended with status {status}: {last_words(stderr)}"
    plain = _QUOTED.sub("''", stderr)
    for sign in _SIGNS:
        if re.search(sign.pattern, plain):
            found = _FINGERPRINT.search(plain)
            shown = f" (it shows {found[1]} now)" if found else ""
            return sign.kind(
                f"{said.rstrip('.')}. {sign.hint.format(**used.names, shown=shown)}", rc=status, stderr=stderr
            )
    return CommandFailed(said, rc=status, stderr=stderr)


def is_refusal(stderr: str) -> bool:
    """Whether a server says that what was asked is not allowed."""
    return _REFUSALS.search(_QUOTED.sub("''", stderr)) is not None


def last_words(stderr: str) -> str:
    """The end of what a command printed, in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(_CHATTER)]
    return " / ".join(lines[-3:]) or "it said nothing"
