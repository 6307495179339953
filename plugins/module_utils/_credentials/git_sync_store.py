# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets in git-sync's shape: read, compared, written in one step each, and shown. PRIVATE to the collection."""

from __future__ import annotations

import base64
import binascii
import copy
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import (
    SHAPE,
    Credential,
    SshCredential,
    read_https,
    secrets_of,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.known_hosts import (
    all_host_keys,
    host_keys,
    shown,
)
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import SshKey, read_key
from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    ApiError,
    Conflict,
    InvalidInput,
    Refused,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import fingerprint
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import MANAGED_BY
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object, Resource

LABEL = "drystone.dev/git-credentials"
REPOSITORY = "drystone.dev/git-repository"
REF = "drystone.dev/git-ref"
_SECRET = Resource("", "v1", "Secret", "secrets", namespaced=True)


@dataclass(frozen=True)
class Stored:
    """A Secret as it is, or as it is going to be."""

    object: Object = field(repr=False)

    @property
    def where(self) -> str:
        """The Secret for messages."""
        return f"Secret {self.object['metadata']['namespace']}/{self.object['metadata']['name']}"

    @property
    def data(self) -> dict[str, str]:
        """Its values as text."""
        return {key: _decoded(value) for key, value in (self.object.get("data") or {}).items()}

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.object["metadata"].get("labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        """Its annotations."""
        return dict(self.object["metadata"].get("annotations") or {})

    @property
    def ours(self) -> bool:
        """Whether it was made here."""
        return self.labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and LABEL in self.labels

    @property
    def auth(self) -> str | None:
        """How it authenticates; None if it has no credential of git-sync's shape."""
        if "ssh" in self.data:
            return "ssh"
        return "https" if "password" in self.data else None

    @property
    def public(self) -> str:
        """The public half of its SSH key; nothing if there is none that can be read."""
        try:
            return self.key().public
        except InvalidInput:
            return ""

    @property
    def secrets(self) -> set[str]:
        """What of it must not turn up anywhere."""
        return secrets_of(self.data, shown=self.public)

    def key(self) -> SshKey:
        """Its SSH key; InvalidInput if there is none that will do."""
        return read_key(self.data.get("ssh", ""), f"Key ssh of {self.where}")

    @property
    def fingerprint(self) -> str | None:
        """What may be shown of the credential."""
        data = self.data
        try:
            if self.auth == "ssh":
                return self.key().fingerprint
            if self.auth == "https":
                return read_https(data.get("username"), data.get("password"), None).fingerprint
        except InvalidInput:
            return (
                f"of a value that cannot be used, {fingerprint(data['ssh' if 'ssh' in data else 'password'].encode())}"
            )
        return None

    @property
    def host_key_fingerprints(self) -> list[str]:
        """The fingerprints of the host keys."""
        return shown(all_host_keys(self.data.get("known_hosts", "")))

    def credential(
        self, host_key_name: str, *, known_hosts: str | None = None, ca_cert: str | None = None
    ) -> Credential:
        """The credential as it is used, with what it trusts or what is given instead; InvalidInput if it cannot be."""
        data = self.data
        if self.auth == "ssh":
            trusted, what = data.get("known_hosts", ""), f"known_hosts of {self.where}"
            if known_hosts:
                trusted, what = known_hosts, "known_hosts as given"
            return SshCredential(self.key(), host_keys(trusted, host_key_name, what))
        return read_https(data.get("username"), data.get("password"), ca_cert or data.get("ca.crt"))

    def view(self) -> Object:
        """The Secret as a diff shows it."""
        data = self.data
        return {
            "auth": self.auth,
            "fingerprint": self.fingerprint,
            "host_keys": self.host_key_fingerprints,
            "ca_cert": fingerprint(data["ca.crt"].encode()) if "ca.crt" in data else None,
            "username": data.get("username"),
            "repository": self.annotations.get(REPOSITORY),
            "ref": self.annotations.get(REF),
            "labels": self.labels,
        }


class Store:
    """The Secrets of one namespace."""

    def __init__(self, api: KubeApi, namespace: str) -> None:
        self._api = api
        self.namespace = namespace

    def read(self, name: str) -> Stored | None:
        """Read a Secret."""
        found = self._api.get(_SECRET, name, self.namespace)
        return Stored(found) if found else None

    def planned(
        self,
        name: str,
        stored: Stored | None,
        data: dict[str, str],
        labels: dict[str, str],
        annotations: dict[str, str],
    ) -> Stored:
        """Say what a Secret is going to be: what somebody added beside git-sync's shape stays."""
        blank: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {}, "type": "Opaque", "data": {}}
        draft = copy.deepcopy(stored.object) if stored else blank
        metadata = draft["metadata"]
        metadata |= {"name": name, "namespace": self.namespace}
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels, MANAGED_BY[0]: MANAGED_BY[1]}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **annotations}
        draft["data"] = {key: value for key, value in (draft.get("data") or {}).items() if key not in SHAPE}
        draft["data"] |= {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        return Stored(draft)

    def write(self, stored: Stored | None, planned: Stored) -> Stored:
        """Make the Secret what was planned, in one request; Conflict if somebody else has changed it meanwhile."""
        name = planned.object["metadata"]["name"]
        try:
            if stored:
                return Stored(self._api.patch(_SECRET, name, _patch(stored, planned), self.namespace))
            return Stored(self._api.create(_SECRET, planned.object))
        except ApiError as error:
            if error.status == 409:
                raise Conflict(
                    f"{planned.where} was written by somebody else while its credential was checked. It was left "
                    "alone: run again."
                ) from error
            raise

    def delete(self, stored: Stored) -> None:
        """Delete that very Secret."""
        metadata = stored.object["metadata"]
        self._api.delete(_SECRET, metadata["name"], self.namespace, uid=metadata["uid"])


def refuse_foreign(stored: Stored | None, doing: str) -> None:
    """Refuse a Secret that was not made here."""
    if stored and not stored.ours:
        raise Refused(
            f"{doing}: {stored.where} exists and was not made by this module (it lacks the label {LABEL}, or "
            f"{MANAGED_BY[0]}={MANAGED_BY[1]}). It was left alone: use another name, or move it out of the way.",
            reason="not_ours",
        )


def _patch(stored: Stored, planned: Stored) -> Object:
    """Say the difference as a merge patch that holds for the version read only."""
    old, new = stored.object, planned.object
    data: dict[str, str | None] = dict.fromkeys(set(old.get("data") or {}) - set(new["data"]))
    data |= {key: value for key, value in new["data"].items() if (old.get("data") or {}).get(key) != value}
    metadata: Object = {"resourceVersion": old["metadata"]["resourceVersion"]}
    for section in ("labels", "annotations"):
        before = old["metadata"].get(section) or {}
        fresh = {key: value for key, value in new["metadata"][section].items() if before.get(key) != value}
        metadata |= {section: fresh} if fresh else {}
    return {"metadata": metadata, **({"data": data} if data else {})}


def _decoded(value: t.Any) -> str:
    try:
        return base64.b64decode(value, validate=True).decode(errors="replace")
    except (binascii.Error, ValueError, TypeError):
        return ""
