# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host keys in the format of OpenSSH's known_hosts. PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import key_fingerprint
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

_MARKERS = ("@cert-authority", "@revoked")


@dataclass(frozen=True)
class HostKey:
    """One line of known_hosts."""

    line: str
    marker: str
    hosts: str
    kind: str
    blob: str

    @property
    def fingerprint(self) -> str:
        """The type and the fingerprint of the key."""
        return f"{f'{self.marker} ' if self.marker else ''}{self.kind} {key_fingerprint(self.blob)}"

    def is_for(self, name: str) -> bool:
        """Return whether ssh uses this line for a host."""
        if self.hosts.startswith("|1|"):
            return _hashed_matches(self.hosts, name)
        matched = False
        for pattern in self.hosts.split(","):
            # Only * and ? are wildcards. A bracket is part of the name, as in [host]:2222.
            plain = pattern.lstrip("!").lower().replace("[", "[[]")
            if fnmatch.fnmatchcase(name.lower(), plain):
                if pattern.startswith("!"):
                    return False
                matched = True
        return matched


def host_keys(text: str, name: str, what: str) -> tuple[HostKey, ...]:
    """Return the lines for a host. Raise InvalidInput if there is none, or if one of them is invalid."""
    found = []
    names = set()
    for number, line in enumerate(text.splitlines(), 1):
        key = _read(line.strip())
        if key is None:
            continue
        if not key.is_for(name):
            names.add(key.hosts)
            continue
        if not _is_key(key):
            raise InvalidInput(
                f"Line {number} of {what}, for {name}, contains an incomplete key.", reason="host_key_unreadable"
            )
        found.append(key)
    if not any(key.marker != "@revoked" for key in found):
        seen = f"It has keys for {', '.join(sorted(names)[:5])}." if names else "It has no keys."
        raise InvalidInput(
            f"{what} contains no host key for {name}, the name that pods use. {seen} Add the "
            "server's key with exactly this name, or set accept_host_key to read and pin it.",
            reason="host_key_missing",
        )
    return tuple(found)


def all_host_keys(text: str) -> list[HostKey]:
    """Return all complete keys of all hosts."""
    return [key for key in map(_read, map(str.strip, text.splitlines())) if key and _is_key(key)]


def renamed(scanned: str, name: str) -> str:
    """Convert the output of ssh-keyscan to sorted lines for a host with another name in the cluster."""
    lines = {f"{name} {key.kind} {key.blob}" for key in all_host_keys(scanned)}
    return "".join(f"{line}\n" for line in sorted(lines))


def _read(line: str) -> HostKey | None:
    if not line or line.startswith("#"):
        return None
    words = line.split()
    marker = words.pop(0) if words[0] in _MARKERS else ""
    hosts, kind, blob = [*words, "", "", ""][:3]
    return HostKey(line, marker, hosts, kind, blob)


def _is_key(key: HostKey) -> bool:
    """Return whether the key is complete and has the type of its line."""
    try:
        rest = base64.b64decode(key.blob, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields = []
    while rest:
        size = 4 + int.from_bytes(rest[:4], "big")
        if len(rest) < size:
            return False
        fields.append(rest[4:size])
        rest = rest[size:]
    return len(fields) > 1 and fields[0] == key.kind.encode()


def _hashed_matches(hosts: str, name: str) -> bool:
    try:
        salt, digest = (base64.b64decode(part, validate=True) for part in hosts[3:].split("|"))
    except (binascii.Error, ValueError):
        return False
    # The format of OpenSSH, which only hides names.
    return hmac.compare_digest(hmac.new(salt, name.lower().encode(), hashlib.sha1).digest(), digest)


def shown(keys: t.Iterable[HostKey]) -> list[str]:
    """Return the fingerprints of host keys."""
    return [key.fingerprint for key in keys]
