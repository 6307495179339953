# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may read which repository of the Git server in the cluster: what lies in Secrets, and nothing else.

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
# Access over SSH and HTTPS: the object, its key, and the container of the server that reads it and logs its use.
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
    """Who is to read a repository, and the Secrets that hold what it proves itself with."""

    user: str
    repository: str
    namespace: str
    secrets: tuple[str, ...]
    syncers: str = ""


@dataclass(frozen=True, order=True)
class Credential:
    """One credential as the server has it: nothing secret."""

    user: str
    repository: str
    auth: str
    key: str

    @property
    def fingerprint(self) -> str:
        """What the server's log calls it."""
        return key_fingerprint(self.key.split()[1]) if self.auth == "ssh" else f"sha256:{self.key[:12]}"

    @property
    def line(self) -> str:
        """The line that lets it in."""
        if self.auth == "ssh":
            return f'restrict,command="read-only {self.repository}" {self.key} {self.user}\n'
        return f"{self.user} {self.repository} {self.key}\n"

    def used(self, log: str, address: str) -> bool:
        """Whether a log of the server says that it was used from an address."""
        if self.auth == "ssh":
            said = rf"Accepted publickey for \S+ from {re.escape(address)} port \d+ ssh2: \S+ "
        else:
            said = rf"{re.escape(self.user)} reads {re.escape(self.repository)} from {re.escape(address)} with "
        return re.search(rf"{said}{re.escape(self.fingerprint)}\s*$", log, re.MULTILINE) is not None

    def shown(self) -> dict[str, str]:
        """What may be told of it."""
        return {
            "user": self.user,
            "repository": self.repository,
            "auth": self.auth,
            "fingerprint": self.fingerprint,
        }


@dataclass
class Outcome:
    """Who may read afterwards, or would, and what that changed."""

    before: list[Credential] = field(default_factory=list)
    after: list[Credential] = field(default_factory=list)
    tampered: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything is written, or would be."""
        return self.before != self.after or self.tampered

    @property
    def added(self) -> list[Credential]:
        """What could not read before."""
        return [one for one in self.after if one not in self.before]

    @property
    def withdrawn(self) -> list[Credential]:
        """What cannot read any more."""
        return [one for one in self.before if one not in self.after]


class Readers:
    """The readers of the server, brought to what is in the Secrets."""

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
                        f"The {what} of a reader is {name!r}; it is made of letters, digits, dots, - and _."
                    )

    def ensure(self, check: bool) -> Outcome:
        """Let in what is in the Secrets and nothing else; what was replaced goes once its successor is in use."""
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
                    f"{kind} {NAMESPACE}/{name} was not made by Drystone (it lacks the label {label}={value}), so it "
                    "is left alone. Move it out of the way."
                )
            text = (obj.get("data") or {}).get(key, "")
            self._texts[auth] = text = base64.b64decode(text).decode() if kind == "Secret" else text
            matches = (_LINES[auth].fullmatch(line) for line in text.splitlines())
            found += [Credential(match["user"], match["repository"], auth, match["key"]) for match in matches if match]
        return sorted(found)

    def _write(self, credentials: list[Credential]) -> None:
        """Store the lines where they change, and have the server see them."""
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
        # A kubelet brings mounted ConfigMaps and Secrets up to date when it looks after a pod: about once a minute, or
        # at once when something about the pod changes, an annotation for example.
        resource = self._api.resource_for("v1", "Pod")
        for pod in self._pods(namespace, selector):
            name = pod["metadata"]["name"]
            self._api.patch(resource, name, {"metadata": {"annotations": {REFRESHED: value}}}, namespace)

    def _pods(self, namespace: str, selector: str) -> list[Object]:
        listed = self._api.list(self._api.resource_for("v1", "Pod"), namespace, label_selector=selector).items
        # One that goes needs nothing any more, and one without an address has never read.
        return [
            pod
            for pod in listed
            if "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") == "Running"
        ]

    def _wait_for_use(self, after: list[Credential], users: set[str]) -> None:
        """Wait until whatever follows a repository all the time does so with a credential that stays."""
        deadline = self._clock() + self._timeout
        for reader in (one for one in self._readers if one.user in users and one.syncers):
            keys = hashlib.sha256("".join(one.line for one in after if one.user == reader.user).encode())
            self._refresh(reader.namespace, reader.syncers, keys.hexdigest()[:12])
        while late := self._late(after, users):
            if self._clock() >= deadline:
                raise NotReady(
                    f"Withdrawing replaced credentials: {', '.join(late)} have not read with their new ones within "
                    f"{self._timeout:.0f} s, so the old ones stay valid, too. Look at what git-sync says there, and "
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
    """Read from a Secret what its reader proves itself with; of passwords only those for the name it has here."""
    values = {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}
    if "ssh" in values:
        try:
            key = public_line(values["ssh"])
        except ValueError as error:
            raise InvalidInput(
                f"Key ssh of Secret {where} holds no SSH private key without a passphrase ({error}), so {reader.user} "
                "cannot be let in with it. Delete the Secret to have a new one generated."
            ) from None
        yield Credential(reader.user, reader.repository, "ssh", key)
    if values.get("password") and values.get("username", reader.user) == reader.user:
        digest = hashlib.sha256(values["password"].encode()).hexdigest()
        yield Credential(reader.user, reader.repository, "https", digest)
