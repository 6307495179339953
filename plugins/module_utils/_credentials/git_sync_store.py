# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read, compare, write and show Secrets in the format of git-sync. PRIVATE to the collection."""

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
    """The current or planned state of a Secret."""

    object: Object = field(repr=False)

    @property
    def where(self) -> str:
        """The name of the Secret, for messages."""
        return f"Secret {self.object['metadata']['namespace']}/{self.object['metadata']['name']}"

    @property
    def data(self) -> dict[str, str]:
        """The values as text."""
        return {key: _decoded(value) for key, value in (self.object.get("data") or {}).items()}

    @property
    def labels(self) -> dict[str, str]:
        """The labels."""
        return dict(self.object["metadata"].get("labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations."""
        return dict(self.object["metadata"].get("annotations") or {})

    @property
    def ours(self) -> bool:
        """Whether this module created the Secret."""
        return self.labels.get(MANAGED_BY[0]) == MANAGED_BY[1] and LABEL in self.labels

    @property
    def auth(self) -> str | None:
        """The type of authentication, or None without a credential in the format of git-sync."""
        if "ssh" in self.data:
            return "ssh"
        return "https" if "password" in self.data else None

    @property
    def public(self) -> str:
        """The public key of its SSH key, or an empty string without a valid key."""
        try:
            return self.key().public
        except InvalidInput:
            return ""

    @property
    def secrets(self) -> set[str]:
        """The confidential values, which must not appear in any output."""
        return secrets_of(self.data, shown=self.public)

    def key(self) -> SshKey:
        """Return its SSH key. Raise InvalidInput if it is missing or invalid."""
        return read_key(self.data.get("ssh", ""), f"Key ssh of {self.where}")

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the credential."""
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
        """Return the credential with its or other trusted keys and CAs. Raise InvalidInput if it is invalid."""
        data = self.data
        if self.auth == "ssh":
            trusted, what = data.get("known_hosts", ""), f"known_hosts of {self.where}"
            if known_hosts:
                trusted, what = known_hosts, "known_hosts as given"
            return SshCredential(self.key(), host_keys(trusted, host_key_name, what))
        return read_https(data.get("username"), data.get("password"), ca_cert or data.get("ca.crt"))

    def view(self) -> Object:
        """Return the Secret for a diff."""
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
        """Return the planned state of a Secret. Keep keys that are not part of git-sync's format."""
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
        """Write the planned state in one request. Raise Conflict if another client changed the Secret meanwhile."""
        name = planned.object["metadata"]["name"]
        try:
            if stored:
                return Stored(self._api.patch(_SECRET, name, _patch(stored, planned), self.namespace))
            return Stored(self._api.create(_SECRET, planned.object))
        except ApiError as error:
            if error.status == 409:
                raise Conflict(
                    f"Writing {planned.where}: another client changed it while its credential was tested, so it was "
                    "not changed. Run the task again."
                ) from error
            raise

    def delete(self, stored: Stored) -> None:
        """Delete this version of the Secret."""
        metadata = stored.object["metadata"]
        self._api.delete(_SECRET, metadata["name"], self.namespace, uid=metadata["uid"])


def refuse_foreign(stored: Stored | None, doing: str) -> None:
    """Refuse a Secret that this module did not create."""
    if stored and not stored.ours:
        raise Refused(
            f"{doing}: {stored.where} exists, but this module did not create it (it lacks the label {LABEL} or "
            f"{MANAGED_BY[0]}={MANAGED_BY[1]}), so it was not changed. Use another name, or delete the Secret.",
            reason="not_ours",
        )


def _patch(stored: Stored, planned: Stored) -> Object:
    """Return the difference as a merge patch that only applies to the version that was read."""
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
