# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorize the credentials in Secrets, and no others, to read repositories of the in-cluster Git server.

PRIVATE to the collection.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import key_fingerprint, public_line
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, NotReady, Refused
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import MANAGED_BY
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

if t.TYPE_CHECKING:
    from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


NAMESPACE = "git"
SERVER = "app.kubernetes.io/name=git-server"
REFRESHED = "drystone.dev/refreshed"
_LABELS = {"app.kubernetes.io/name": "git-server", "app.kubernetes.io/part-of": "drystone"}
# Access over SSH and HTTPS: the object, its key, and the container of the server that reads it and logs the access.
_FILES = {
    "ssh": ("ConfigMap", "git-server-readers", "authorized_keys", "git-server"),
    "https": ("Secret", "git-server-https-readers", "readers", "https"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LINES = {
    "ssh": re.compile(r'restrict,command="read-only (?P<repository>\S+)" (?P<key>\S+ \S+) (?P<user>\S+)'),
    "https": re.compile(r"(?P<user>\S+) (?P<repository>\S+) (?P<key>[0-9a-f]{64})"),
}
_POLL = 2


@dataclass(frozen=True)
class Reader:
    """A reader of a repository, and the Secrets with its credentials."""

    user: str
    repository: str
    namespace: str
    secrets: tuple[str, ...]
    syncers: str = ""


@dataclass(frozen=True, order=True)
class Credential:
    """The public form of a credential on the server."""

    user: str
    repository: str
    auth: str
    key: str

    @property
    def fingerprint(self) -> str:
        """The name of the credential in the server's log."""
        return key_fingerprint(self.key.split()[1]) if self.auth == "ssh" else f"sha256:{self.key[:12]}"

    @property
    def line(self) -> str:
        """The line that authorizes the credential."""
        if self.auth == "ssh":
            return f'restrict,command="read-only {self.repository}" {self.key} {self.user}\n'
        return f"{self.user} {self.repository} {self.key}\n"

    def used(self, log: str, address: str) -> bool:
        """Return whether a log of the server shows its use from an address."""
        if self.auth == "ssh":
            said = rf"Accepted publickey for \S+ from {re.escape(address)} port \d+ ssh2: \S+ "
        else:
            said = rf"{re.escape(self.user)} reads {re.escape(self.repository)} from {re.escape(address)} with "
        return re.search(rf"{said}{re.escape(self.fingerprint)}\s*$", log, re.MULTILINE) is not None

    def shown(self) -> dict[str, str]:
        """Return the public properties of the credential."""
        return {
            "user": self.user,
            "repository": self.repository,
            "auth": self.auth,
            "fingerprint": self.fingerprint,
        }


@dataclass
class Outcome:
    """The authorized credentials after the run, and the changes."""

    before: list[Credential] = field(default_factory=list)
    after: list[Credential] = field(default_factory=list)
    tampered: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was or would be written."""
        return self.before != self.after or self.tampered

    @property
    def added(self) -> list[Credential]:
        """Credentials that were not authorized before."""
        return [one for one in self.after if one not in self.before]

    @property
    def withdrawn(self) -> list[Credential]:
        """Credentials that are not authorized any more."""
        return [one for one in self.before if one not in self.after]


class Readers:
    """Update the readers of the server to match the Secrets."""

    def __init__(
        self,
        api: KubeApi,
        readers: t.Sequence[Reader],
        *,
        timeout: float,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._readers = readers
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._texts: dict[str, str] = {}
        for reader in readers:
            for what, name in (("user", reader.user), ("repository", reader.repository)):
                if not _NAME.fullmatch(name):
                    raise InvalidInput(
                        f"The {what} of a reader is {name!r}. It may contain only letters, digits, dots, - and _."
                    )

    def ensure(self, check: bool) -> Outcome:
        """Authorize the credentials in the Secrets. Revoke a replaced one once its successor is in use."""
        users = {reader.user for reader in self._readers}
        outcome = Outcome(self._found(), self._wanted())
        outcome.tampered = any(self._texts.get(auth, "") != _text(outcome.before, auth) for auth in _FILES)
        replaced = [one for one in outcome.withdrawn if one.user in users]
        if outcome.changed and not check:
            self._write(sorted([*outcome.after, *replaced]))
            if replaced:
                self._wait_for_use(outcome.after, {one.user for one in replaced})
                self._write(outcome.after)
        return outcome

    def _wanted(self) -> list[Credential]:
        resource = self._api.resource_for("v1", "Secret")
        wanted: set[Credential] = set()
        for reader in self._readers:
            for name in reader.secrets:
                found = self._api.get(resource, name, reader.namespace)
                wanted.update(_credentials(reader, (found or {}).get("data") or {}, f"{reader.namespace}/{name}"))
        return sorted(wanted)

    def _found(self) -> list[Credential]:
        found = []
        for auth, (kind, name, key, _container) in _FILES.items():
            obj = self._api.get(self._api.resource_for("v1", kind), name, NAMESPACE)
            if obj is None:
                continue
            label, value = MANAGED_BY
            if (obj["metadata"].get("labels") or {}).get(label) != value:
                raise Refused(
                    f"{kind} {NAMESPACE}/{name} exists, but Drystone did not create it (it lacks the label "
                    f"{label}={value}), so it was not changed. Delete it or rename it."
                )
            text = (obj.get("data") or {}).get(key, "")
            self._texts[auth] = text = base64.b64decode(text).decode() if kind == "Secret" else text
            matches = (_LINES[auth].fullmatch(line) for line in text.splitlines())
            found += [Credential(match["user"], match["repository"], auth, match["key"]) for match in matches if match]
        return sorted(found)

    def _write(self, credentials: list[Credential]) -> None:
        """Write changed lines, and make the server read them."""
        for auth, (kind, name, key, _container) in _FILES.items():
            text = _text(credentials, auth)
            if text == self._texts.get(auth, ""):
                continue
            self._texts[auth] = text
            metadata = {"name": name, "namespace": NAMESPACE, "labels": {**_LABELS, MANAGED_BY[0]: MANAGED_BY[1]}}
            data = {key: base64.b64encode(text.encode()).decode() if kind == "Secret" else text}
            obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": data}
            self._api.apply(self._api.resource_for("v1", kind), obj)
            self._refresh(NAMESPACE, SERVER, hashlib.sha256(text.encode()).hexdigest()[:12])

    def _refresh(self, namespace: str, selector: str, value: str) -> None:
        # A kubelet updates mounted ConfigMaps and Secrets when it syncs a Pod: about once a minute, or at once after a
        # change of the Pod, for example of an annotation.
        resource = self._api.resource_for("v1", "Pod")
        for pod in self._pods(namespace, selector):
            name = pod["metadata"]["name"]
            self._api.patch(resource, name, {"metadata": {"annotations": {REFRESHED: value}}}, namespace)

    def _pods(self, namespace: str, selector: str) -> list[Object]:
        listed = self._api.list(self._api.resource_for("v1", "Pod"), namespace, label_selector=selector).items
        # Skip terminating Pods, and Pods without an address, which have never read.
        return [
            pod
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") == "Running"
        ]

    def _wait_for_use(self, after: list[Credential], users: set[str]) -> None:
        """Wait until all syncers of a repository use a credential that is kept."""
        deadline = self._clock() + self._timeout
        for reader in (one for one in self._readers if one.user in users and one.syncers):
            keys = hashlib.sha256("".join(one.line for one in after if one.user == reader.user).encode())
            self._refresh(reader.namespace, reader.syncers, keys.hexdigest()[:12])
        while late := self._late(after, users):
            if self._clock() >= deadline:
                raise NotReady(
                    f"Revoking replaced credentials: {', '.join(late)} did not use the new ones within "
                    f"{self._timeout:.0f} s, so the old ones stay valid. Check the logs of git-sync there, then "
                    "run this again."
                )
            self._sleep(_POLL)

    def _late(self, after: list[Credential], users: set[str]) -> list[str]:
        logs = {auth: self._log(container) for auth, (_kind, _name, _key, container) in _FILES.items()}
        return [
            f"{reader.namespace}/{pod['metadata']['name']}"
            for reader in self._readers
            if reader.user in users and reader.syncers
            for pod in self._pods(reader.namespace, reader.syncers)
            if not any(
                one.used(logs[one.auth], pod["status"].get("podIP", "")) for one in after if one.user == reader.user
            )
        ]

    def _log(self, container: str) -> str:
        paths = [
            f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}/log?container={container}"
            for pod in self._pods(NAMESPACE, SERVER)
        ]
        logs = [self._api.request("GET", path, doing="Reading the Git server's log", missing_ok=True) for path in paths]
        return "\n".join(str(log) for log in logs)


def _text(credentials: list[Credential], auth: str) -> str:
    return "".join(one.line for one in credentials if one.auth == auth)


def _credentials(reader: Reader, data: dict[str, str], where: str) -> t.Iterator[Credential]:
    """Read the credentials of a reader from a Secret. Ignore passwords of another user name."""
    values = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
    if "ssh" in values:
        try:
            key = public_line(values["ssh"])
        except ValueError as error:
            raise InvalidInput(
                f"Key ssh of Secret {where} is not an SSH private key without a passphrase ({error}), so it cannot be "
                f"authorized for {reader.user}. Delete the Secret, and a new key is generated."
            ) from None
        yield Credential(reader.user, reader.repository, "ssh", key)
    if values.get("password") and values.get("username", reader.user) == reader.user:
        digest = hashlib.sha256(values["password"].encode()).hexdigest()
        yield Credential(reader.user, reader.repository, "https", digest)
