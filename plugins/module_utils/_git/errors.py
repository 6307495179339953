# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The errors of Git servers, most of them told by what git and ssh print in English. PRIVATE to the collection."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

# Lines that git adds to every transport error.
_CHATTER = ("Please make sure you have the correct access rights", "and the repository exists.")


class RemoteFailed(CommandFailed):
    """A request to a Git server failed. The subclasses and the fact `reason` state why."""

    reason = "remote_failed"

    def __init__(self, msg: str, **facts: t.Any) -> None:
        super().__init__(msg, reason=self.reason, **facts)


class PermissionDenied(RemoteFailed):
    """The server does not accept the SSH key: it is wrong, revoked or not authorized yet."""

    reason = "permission_denied"


class AuthenticationFailed(RemoteFailed):
    """The server answered 401 or 403 over HTTPS: the token or password is wrong, expired or lacks permissions."""

    reason = "authentication_failed"


class HostKeyMissing(RemoteFailed):
    """None of the known host keys belongs to the server."""

    reason = "host_key_missing"


class HostKeyChanged(RemoteFailed):
    """The server presents another host key than the known one."""

    reason = "host_key_changed"


class TlsNotTrusted(RemoteFailed):
    """The server's certificate is not trusted, expired, or issued for another name."""

    reason = "tls_not_trusted"


class RemoteUnavailable(RemoteFailed):
    """The server does not answer, or the response is not from a working Git server."""

    reason = "remote_unavailable"


class RepositoryNotFound(RemoteFailed):
    """The server does not have the repository, or this credential may not see it."""

    reason = "repository_not_found"


class RefNotFound(RemoteFailed):
    """The repository does not have this branch, tag or commit."""

    reason = "ref_not_found"


class WriteAllowed(RemoteFailed):
    """A credential that must be read-only can write."""

    reason = "write_allowed"


class StillAccepted(RemoteFailed):
    """A credential that was withdrawn still reads the repository."""

    reason = "still_accepted"


@dataclass(frozen=True)
class _Sign:
    """A class of failures, the pattern that identifies it, and a hint for the user."""

    kind: type[CommandFailed]
    pattern: str
    hint: str


# The first matching sign decides. ssh reports a changed host key first and then fails like for an unknown one.
_SIGNS = (
    _Sign(
        HostKeyChanged,
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|REVOKED HOST KEY",
        "The server's host key differs from the one in {known_hosts}: either the server was reinstalled, or somebody "
        "intercepts the connection. Ask its operator for the fingerprint{shown}. Replace the known host key only if "
        "the fingerprint is correct.",
    ),
    _Sign(
        HostKeyMissing,
        r"host key is known for|Host key verification failed",
        "The server's host key is not in {known_hosts}, which has no key for this server or only keys of another type. "
        "Add the server's host key there.",
    ),
    _Sign(
        PermissionDenied,
        r"Permission denied \(|Too many authentication failures|no mutual signature|Permission denied, please try",
        "The server does not accept the key {private_key}: it is wrong, revoked or not authorized yet.",
    ),
    _Sign(
        TlsNotTrusted,
        r"SSL certificate problem|[Cc]ertificate verif|server verification failed|certificate subject name|"
        r"certificate has expired|signer not trusted|[Cc]ertificate.* not trusted|certificate verify locations|"
        r"SSL peer certificate|does not match target host|CA cert|CAfile|server certificate",
        "The server's certificate is not trusted, expired, or issued for another name. Set the certificate of its "
        "authority, and use a name that the certificate contains.",
    ),
    _Sign(
        AuthenticationFailed,
        r"Authentication failed for|returned error: 40[13]\b|HTTP Basic: Access denied|could not read Username|"
        r"Invalid username or (?:password|token)",
        "The server does not accept the password or token of {username}: it is wrong, revoked, expired, or has no "
        "permission for this repository.",
    ),
    _Sign(
        RemoteUnavailable,
        r"Connection refused|Failed to connect|Couldn't connect",
        "No server listens there. Check that the Git server runs and that its port is mapped.",
    ),
    _Sign(
        RemoteUnavailable,
        r"[Cc]ould not resolve|Name or service not known",
        "This host cannot resolve the server's name.",
    ),
    _Sign(
        RemoteUnavailable, r"timed out|No route to host|Network is unreachable", "The server did not answer in time."
    ),
    _Sign(
        RemoteUnavailable,
        r"Connection (?:closed|reset) by|kex_exchange_identification|Empty reply|Recv failure|early EOF|"
        r"returned error: (?:429|5\d\d)|hung up upon initial contact|non-properly terminated|gnutls_handshake|SSL_",
        "The response is not from a working Git server.",
    ),
    _Sign(
        RepositoryNotFound,
        r"[Rr]epository not found|does not appear to be a git repository|repository '.*' not found|"
        r"[Rr]epository does not exist|could not be found or you don't have permission|returned error: 404|"
        r"may only read the repository",
        "Check the path. Servers return the same error for a repository that the credential may not see.",
    ),
)
# Ignore quoted names in messages, such as a repository with the name read-only.
_QUOTED = re.compile(r"(?<!\w)'[^'\n]*'(?!\w)")
_FINGERPRINT = re.compile(r"key sent by the remote host is\s+(SHA256:[\w+/]+)")
# Messages with which servers refuse a push of a read-only credential; each server uses its own words.
_REFUSALS = re.compile(
    r"only read|read[- ]only|denied|not allowed|not authori[sz]ed|unauthori[sz]ed|forbidden|write access|"
    r"not enabled|not permitted|insufficient permission|returned error: 40[134]\b|Authentication failed",
    re.IGNORECASE,
)


class Credential(t.Protocol):
    """The names of the used credentials, for messages."""

    @property
    def names(self) -> dict[str, str]: ...


def failure(doing: str, command: str, status: int, stderr: str, used: Credential) -> CommandFailed:
    """Return the exception for a failed git command."""
    stderr = stderr.replace("\r", "")
    said = f"{doing}: git {command} failed with status {status}: {last_words(stderr)}"
    plain = _QUOTED.sub("''", stderr)
    for sign in _SIGNS:
        if re.search(sign.pattern, plain):
            found = _FINGERPRINT.search(plain)
            shown = f" (the server presents {found[1]})" if found else ""
            return sign.kind(
                f"{said.rstrip('.')}. {sign.hint.format(**used.names, shown=shown)}", rc=status, stderr=stderr
            )
    return CommandFailed(said, rc=status, stderr=stderr)


def is_refusal(stderr: str) -> bool:
    """Return whether a server's message states that the request is not allowed."""
    return _REFUSALS.search(_QUOTED.sub("''", stderr)) is not None


def last_words(stderr: str) -> str:
    """Return the last lines of a command's output in one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(_CHATTER)]
    return " / ".join(lines[-3:]) or "no output"
