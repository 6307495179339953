# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets whose values are generated once and then kept in the cluster. PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import os
import secrets
import stat
import string
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._credentials.generated_certificate import (
    must_renew,
    new_certificate,
    public_part,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import new_key, public_line
from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, InvalidInput, Refused
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import MANAGED_BY
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

_ALPHABET = string.ascii_letters + string.digits


class Client(t.Protocol):
    """The methods of KubeApi that this module uses."""

    def resource_for(self, api_version: str, kind: str) -> t.Any: ...

    def get(self, resource: t.Any, name: str, namespace: str | None = None) -> Object | None: ...

    def create(self, resource: t.Any, obj: Object) -> Object: ...

    def patch(self, resource: t.Any, name: str, patch: Object, namespace: str | None = None) -> Object: ...

    def delete(self, resource: t.Any, name: str, namespace: str | None = None, *, uid: str | None = None) -> bool: ...


@dataclass(frozen=True)
class Entry:
    """One key of the Secret, and the kind of its value."""

    name: str
    kind: str
    length: int = 32
    comment: str = ""
    hosts: tuple[str, ...] = ()
    days: int = 365
    path: str | None = None
    value: str | None = field(default=None, repr=False)


@dataclass
class Outcome:
    """The result without confidential values."""

    action: str = "unchanged"
    generated: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    public_keys: dict[str, str] = field(default_factory=dict)
    certificates: dict[str, str] = field(default_factory=dict)
    fingerprints: dict[str, str] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    private: list[str] = field(default_factory=list, repr=False)

    @property
    def changed(self) -> bool:
        """Whether anything was or would be changed."""
        return self.action != "unchanged" or bool(self.written)


def generate(entry: Entry, now: dt.datetime) -> str:
    """Generate a new value, or return the given one."""
    if entry.value:
        return entry.value
    if entry.kind == "password":
        return "".join(secrets.choice(_ALPHABET) for _position in range(entry.length))
    if entry.kind == "tls_certificate":
        return new_certificate(entry.hosts, entry.days, now)
    return new_key()


def public_key(entry: Entry, value: str, where: str) -> str:
    """Derive the public key line from an SSH private key."""
    try:
        line = public_line(value)
    except ValueError as error:
        raise InvalidInput(
            f"Key {entry.name} of {where} is not an SSH private key without a passphrase ({error}). "
            "Delete the key or the Secret, and a new one is generated."
        ) from error
    return f"{line} {entry.comment}".rstrip()


def certificate(entry: Entry, value: str, where: str) -> str:
    """Return the certificate from a text with a private key and its certificate."""
    try:
        return public_part(value)
    except ValueError as error:
        raise InvalidInput(
            f"Key {entry.name} of {where} is not a private key with its certificate in PEM format ({error}). "
            "Delete the key or the Secret, and a new one is generated."
        ) from error


def fingerprint(value: str) -> str:
    """Return a fingerprint that identifies a value without revealing it."""
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()[:12]}"


def _decoded(data: dict[str, str], where: str) -> dict[str, str]:
    try:
        return {name: base64.b64decode(value, validate=True).decode() for name, value in data.items()}
    except (binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{where} contains a value that is not text, so it was not generated. Delete the value or the Secret."
        ) from error


def _file_differs(path: str, value: str) -> bool:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read() != value or stat.S_IMODE(os.stat(path).st_mode) != 0o600
    except (FileNotFoundError, UnicodeDecodeError):
        return True


def ensure(
    client: Client,
    *,
    namespace: str,
    name: str,
    entries: list[Entry],
    labels: dict[str, str],
    write: t.Callable[[str, str], None],
    check: bool,
    rotate: bool = False,
    now: t.Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
) -> Outcome:
    """Generate missing values of the Secret, keep existing ones, and write copies of keys to files.

    A Secret that something else created is used unchanged if it has all keys. It is never extended, renewed or rotated.
    """
    where = f"Secret {namespace}/{name}"
    resource = client.resource_for("v1", "Secret")
    for _attempt in range(3):
        found = client.get(resource, name, namespace)
        values = _decoded((found or {}).get("data") or {}, where)
        outcome = Outcome(
            before={entry.name: fingerprint(values[entry.name]) for entry in entries if entry.name in values}
        )
        due = [entry for entry in entries if rotate or _is_due(entry, values, found, where, now())]
        missing = {entry.name: generate(entry, now()) for entry in due}
        if missing:
            outcome.generated = sorted(missing)
            outcome.action = "configured" if found else "created"
            values |= missing
            if not check and not _store(client, resource, namespace, name, found, missing, labels, where):
                continue  # Another client has created the Secret. Use that one.
            if check and found:
                _refuse_foreign(found, missing, where)
        break
    else:
        raise ApiError(
            f"Creating {where}: another client wrote it three times meanwhile. Run the task again.", status=409
        )
    for entry in entries:
        value = values[entry.name]
        outcome.private.append(value)
        outcome.fingerprints[entry.name] = fingerprint(value)
        if entry.kind == "ssh_ed25519":
            outcome.public_keys[entry.name] = public_key(entry, value, where)
        if entry.kind == "tls_certificate":
            outcome.certificates[entry.name] = certificate(entry, value, where)
        if entry.path and _file_differs(entry.path, value):
            outcome.written.append(entry.path)
            if not check:
                write(entry.path, value)
    return outcome


def remove(client: Client, *, namespace: str, name: str, check: bool) -> Outcome:
    """Delete the Secret if it exists and Drystone created it."""
    resource = client.resource_for("v1", "Secret")
    found = client.get(resource, name, namespace)
    if found is None:
        return Outcome()
    if not _is_ours(found):
        raise Refused(
            f"Deleting Secret {namespace}/{name}: Drystone did not create it (no label {'='.join(MANAGED_BY)}), "
            "so it was not deleted. Delete it yourself if it is unused."
        )
    if not check:
        client.delete(resource, name, namespace, uid=found["metadata"].get("uid"))
    return Outcome(action="deleted", before=dict.fromkeys(found.get("data") or {}, "deleted"))


def _is_due(entry: Entry, values: dict[str, str], found: Object | None, where: str, now: dt.datetime) -> bool:
    if entry.name not in values:
        return True
    if entry.value:
        return values[entry.name] != entry.value
    if entry.kind != "tls_certificate" or found is None or not _is_ours(found):
        return False
    certificate(entry, values[entry.name], where)
    return must_renew(values[entry.name], entry.hosts, now)


def _is_ours(found: Object) -> bool:
    label, value = MANAGED_BY
    return ((found.get("metadata") or {}).get("labels") or {}).get(label) == value


def _refuse_foreign(found: Object, missing: dict[str, str], where: str) -> None:
    if not _is_ours(found):
        raise Refused(
            f"{where} exists, but Drystone did not create it (it lacks the label {'='.join(MANAGED_BY)}), and it has "
            f"no valid {', '.join(sorted(missing))}. Add the missing keys, or delete the Secret."
        )


def _store(
    client: Client,
    resource: t.Any,
    namespace: str,
    name: str,
    found: Object | None,
    missing: dict[str, str],
    labels: dict[str, str],
    where: str,
) -> bool:
    """Write the generated values. Return False if the Secret changed meanwhile."""
    data = {key: base64.b64encode(value.encode()).decode() for key, value in missing.items()}
    try:
        if found:
            _refuse_foreign(found, missing, where)
            version = found["metadata"]["resourceVersion"]
            client.patch(resource, name, {"metadata": {"resourceVersion": version}, "data": data}, namespace)
        else:
            metadata = {"name": name, "namespace": namespace, "labels": {**labels, MANAGED_BY[0]: MANAGED_BY[1]}}
            client.create(
                resource, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
            )
    except ApiError as error:
        if error.status == 409:
            return False
        raise
    return True
