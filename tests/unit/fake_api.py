# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Kubernetes API server for tests: real HTTP, in memory, with the semantics the collection relies on.

It supports discovery, reads, paged lists, watches, server-side apply with field ownership, dry run, merge patch,
delete, delayed establishment of CRDs, and injected faults. See the fixture fake_api in conftest.py.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
import threading
import time
import typing as t
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

Object = dict[str, t.Any]
Key = tuple[str, str, str, str]  # group, plural, namespace, name
Path_ = tuple[str, ...]
Manager = tuple[str, str, str]  # name, operation, subresource

KINDS = {
    "v1": "Namespace/- ConfigMap Secret Service ServiceAccount Pod PersistentVolumeClaim Event Node/-",
    "apps/v1": "Deployment StatefulSet DaemonSet ReplicaSet",
    "batch/v1": "Job CronJob",
    "rbac.authorization.k8s.io/v1": "Role RoleBinding ClusterRole/- ClusterRoleBinding/-",
    "admissionregistration.k8s.io/v1": "ValidatingWebhookConfiguration/- MutatingWebhookConfiguration/-",
    "apiextensions.k8s.io/v1": "CustomResourceDefinition/-",
    "apiregistration.k8s.io/v1": "APIService/-",
    "storage.k8s.io/v1": "StorageClass/-",
}
_VERSION = ("metadata", "resourceVersion")
_NOT_FIELDS = {("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace")}
_ROUTE = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>v[^/]+)"
    r"(?:/namespaces/(?P<ns>[^/]+)(?=/[^/]))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?$"
)


class HttpError(Exception):
    def __init__(self, code: int, reason: str, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.body = {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}
        if details:
            self.body["details"] = details


@dataclass
class Fault:
    """A fault for a number of requests whose "METHOD path?query" matches."""

    match: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "made to fail"
    drop_before: bool = False
    drop_after: bool = False
    delay: float = 0


@dataclass
class Stored:
    object: Object
    owners: dict[Manager, set[Path_]] = field(default_factory=dict)


def leaves(value: t.Any, path: Path_ = ()) -> dict[Path_, t.Any]:
    """Return the fields of an object. Lists of named entries are merged by name; each other list is one field."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        value = {f"k:{item['name']}": item for item in value}
    if isinstance(value, dict) and value:
        found = {}
        for key, inner in value.items():
            found.update(leaves(inner, (*path, key)))
        return found
    return {path: value}


def _step(container: t.Any, key: str, make: t.Any = None) -> t.Any:
    if key.startswith("k:") and isinstance(container, list):
        for item in container:
            if item.get("name") == key[2:]:
                return item
        if make is None:
            return None
        container.append({"name": key[2:]})
        return container[-1]
    if not isinstance(container, dict):
        return None
    if make is not None and container.get(key) in (None, {}, []):
        container[key] = make
    return container.get(key)


def read(obj: t.Any, path: Path_) -> t.Any:
    for key in path:
        obj = _step(obj, key)
    return obj


def write(obj: Object, path: Path_, value: t.Any) -> None:
    for key, following in itertools.pairwise(path):
        obj = _step(obj, key, [] if following.startswith("k:") else {})
    obj[path[-1]] = copy.deepcopy(value)


def remove(obj: Object, path: Path_) -> None:
    holder = read(obj, path[:-1])
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
        if path[-1] == "name" and path[-2].startswith("k:"):
            read(obj, path[:-2]).remove(holder)


class FakeApi:
    """The server and its state. Hold the lock to read more than one value."""

    def __init__(self) -> None:
        self.lock = threading.Condition()
        self.store: dict[Key, Stored] = {}
        self.version = 100
        self.log: list[tuple[int, str, Key, Object]] = []
        self.expired_before = 0
        self.requests: list[str] = []
        self.writes: list[str] = []
        self.faults: list[Fault] = []
        self.answers: dict[str, tuple[int, t.Any]] = {}  # responses of GET requests to other paths
        self.on_write: t.Callable[[int], None] = lambda count: None
        self.dead = False
        self.page = 500
        self.establish_after: float | None = 0.0
        self.kinds: dict[tuple[str, str], dict[str, t.Any]] = {}
        self.versions: dict[str, list[str]] = {}
        self.connections = 0
        for api_version, kinds in KINDS.items():
            for entry in kinds.split():
                kind, _slash, flag = entry.partition("/")
                plural = kind.lower() + ("es" if kind.endswith("s") else "s")
                self.serve(api_version, kind, plural, namespaced=flag != "-")
        for namespace in ("default", "kube-system"):
            self.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        self.dead = True
        with self.lock:
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()

    # For tests

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def kubeconfig(self, path: Path) -> str:
        """Write a kubeconfig for this server."""
        named = {"name": "fake"}
        path.write_text(
            json.dumps(
                {
                    "current-context": "fake",
                    "contexts": [{**named, "context": {"cluster": "fake", "user": "fake"}}],
                    "clusters": [{**named, "cluster": {"server": self.url}}],
                    "users": [{**named, "user": {"token": "fake-token"}}],
                }
            )
        )
        return str(path)

    def serve(self, api_version: str, kind: str, plural: str, *, namespaced: bool = True) -> None:
        group, _slash, version = api_version.rpartition("/")
        self.versions.setdefault(group, [])
        if version not in self.versions[group]:
            self.versions[group].append(version)
        self.kinds[group, plural] = {"kind": kind, "name": plural, "namespaced": namespaced, "group": group}

    def put(self, obj: Object, manager: str = "someone", operation: str = "Update", subresource: str = "") -> Object:
        """Create or update an object as another client. The given fields change, and so does their owner."""
        with self.lock:
            key, stored = self._locate(obj)
            draft = copy.deepcopy(stored) if stored else Stored(self._new(obj))
            owner = (manager, operation, subresource)
            for path, value in leaves(obj).items():
                if path in _NOT_FIELDS:
                    continue
                if stored and read(draft.object, path) != value:
                    for fields in draft.owners.values():
                        fields.discard(path)
                write(draft.object, path, value)
                draft.owners.setdefault(owner, set()).add(path)
            return self._save(key, stored, draft)

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        with self.lock:
            for key, stored in self.store.items():
                if stored.object["kind"] == kind and key[2:] == (namespace, name):
                    return self._render(stored)
        return None

    def names(self, kind: str) -> list[str]:
        with self.lock:
            return sorted(key[3] for key, stored in self.store.items() if stored.object["kind"] == kind)

    def versions_of_all(self) -> dict[Key, str]:
        with self.lock:
            return {key: stored.object["metadata"]["resourceVersion"] for key, stored in self.store.items()}

    def edit(
        self, kind: str, name: str, namespace: str, path: str, value: t.Any, manager: str = "kubectl-edit"
    ) -> None:
        """Change one field like kubectl edit. Slashes separate the keys of the path."""
        stored = self.find(kind, name, namespace)
        assert stored is not None
        identity = {key: stored["metadata"][key] for key in ("name", "namespace") if key in stored["metadata"]}
        change: Object = {"apiVersion": stored["apiVersion"], "kind": kind, "metadata": identity}
        holder = change
        *parents, last = path.split("/")
        for key in parents:
            holder = holder.setdefault(key, {})
        holder[last] = value
        self.put(change, manager)

    def drop(self, kind: str, name: str, namespace: str = "") -> None:
        with self.lock:
            for key in [key for key, stored in self.store.items() if stored.object["kind"] == kind]:
                if key[2:] == (namespace, name):
                    self._remove(key)

    # Storage

    def _locate(self, obj: Object) -> tuple[Key, Stored | None]:
        group = obj["apiVersion"].rpartition("/")[0]
        plural = next(p for (g, p), entry in self.kinds.items() if g == group and entry["kind"] == obj["kind"])
        key = (group, plural, obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
        return key, self.store.get(key)

    def _new(self, obj: Object) -> Object:
        identity = {key: obj["metadata"][key] for key in ("name", "namespace") if key in obj["metadata"]}
        metadata = {**identity, "uid": f"uid-{self.version + 1}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {**metadata, "generation": 1}}

    def _save(self, key: Key, old: Stored | None, new: Stored) -> Object:
        _default(new.object)
        self._fit(new)
        if old and old.object == new.object and old.owners == new.owners:
            return self._render(old)
        self.version += 1
        if old and {**old.object, "metadata": 0, "status": 0} != {**new.object, "metadata": 0, "status": 0}:
            new.object["metadata"]["generation"] += 1
        new.object["metadata"]["resourceVersion"] = str(self.version)
        self.store[key] = new
        self._emit("MODIFIED" if old else "ADDED", key)
        if new.object["kind"] == "CustomResourceDefinition" and self.establish_after is not None:
            established = {"type": "Established", "status": "True"}
            if established not in (new.object.get("status") or {}).get("conditions", []):
                threading.Timer(self.establish_after, self.establish, [new.object["metadata"]["name"]]).start()
        return self._render(new)

    @staticmethod
    def _fit(stored: Stored) -> None:
        for manager in [manager for manager, fields in stored.owners.items() if not fields]:
            del stored.owners[manager]

    def establish(self, name: str) -> None:
        """Serve the kind of a CustomResourceDefinition."""
        with self.lock:
            stored = self.store.get(("apiextensions.k8s.io", "customresourcedefinitions", "", name))
            if not stored:
                return
            spec = stored.object["spec"]
            for version in spec["versions"]:
                api_version = f"{spec['group']}/{version['name']}"
                names = spec["names"]
                self.serve(api_version, names["kind"], names["plural"], namespaced=spec["scope"] == "Namespaced")
            self.version += 1
            stored.object["status"] = {"conditions": [{"type": "Established", "status": "True"}]}
            stored.object["metadata"]["resourceVersion"] = str(self.version)
            self._emit("MODIFIED", ("apiextensions.k8s.io", "customresourcedefinitions", "", name))

    def _emit(self, kind: str, key: Key) -> None:
        self.log.append((self.version, kind, key, self._render(self.store[key])))
        self.lock.notify_all()

    def _remove(self, key: Key) -> None:
        self.version += 1
        gone = self.store[key]
        gone.object["metadata"]["resourceVersion"] = str(self.version)
        self._emit("DELETED", key)
        del self.store[key]
        if gone.object["kind"] == "Namespace":
            for inner in [inner for inner in self.store if inner[2] == key[3]]:
                self._remove(inner)

    @staticmethod
    def _render(stored: Stored) -> Object:
        shown = copy.deepcopy(stored.object)
        shown["metadata"]["managedFields"] = [
            {"manager": name, "operation": operation, **({"subresource": sub} if sub else {}), "apiVersion": "v1"}
            for name, operation, sub in stored.owners
        ]
        return shown

    # Verbs

    def apply(self, key: Key, body: Object, query: dict[str, str]) -> tuple[int, Object]:
        for name in ("managedFields", "resourceVersion"):
            if name in body["metadata"]:
                raise HttpError(400, "BadRequest", f"metadata.{name} must be nil")
        if "bogus" in (body.get("spec") or {}):
            raise HttpError(400, "BadRequest", 'strict decoding error: unknown field "spec.bogus"')
        if body.get("kind") == "Secret" and any(not isinstance(v, str) for v in (body.get("data") or {}).values()):
            raise HttpError(500, "", f"failed to create typed patch object: .data: expected string, got {body['data']}")
        old = self.store.get(key)
        new = copy.deepcopy(old) if old else Stored(self._new(body))
        me: Manager = (query["fieldManager"], "Apply", "")
        wanted = {path: value for path, value in leaves(body).items() if path not in _NOT_FIELDS}
        clashes: list[tuple[Path_, Manager]] = []
        for path, value in wanted.items():
            if old and read(old.object, path) != value:
                clashes += [(path, other) for other, fields in new.owners.items() if other != me and path in fields]
        if clashes and query.get("force") != "true":
            raise _conflict(clashes)
        for path, other in clashes:
            new.owners[other].discard(path)
        for path in new.owners.get(me, set()) - set(wanted):
            if not any(path in fields for other, fields in new.owners.items() if other != me):
                remove(new.object, path)
        for path, value in wanted.items():
            write(new.object, path, value)
        new.owners[me] = set(wanted)
        return (200 if old else 201), self._commit(key, old, new, query)

    def _commit(self, key: Key, old: Stored | None, new: Stored, query: dict[str, str]) -> Object:
        if query.get("dryRun") == "All":
            _default(new.object)
            return self._render(new)
        before = self.version
        saved = self._save(key, old, new)
        if self.version != before:
            self.count_write(f"{'update' if old else 'create'} {new.object['kind']} {key[3]}")
        return saved

    def count_write(self, what: str) -> None:
        self.writes.append(what)
        self.on_write(len(self.writes))

    def merge(self, key: Key, patch: Object, query: dict[str, str], sub: str) -> Object:
        old = self.store.get(key)
        if not old:
            raise HttpError(404, "NotFound", f'{key[1]} "{key[3]}" not found')
        new = copy.deepcopy(old)
        owner = (query.get("fieldManager", "unknown"), "Update", sub or "")
        wanted = leaves(patch)
        # A patch with a resourceVersion applies only to that version.
        if wanted.pop(_VERSION, now := read(old.object, _VERSION)) != now:
            raise HttpError(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        for path, value in wanted.items():
            if value is None:
                remove(new.object, path)
            else:
                write(new.object, path, value)
                new.owners.setdefault(owner, set()).add(path)
            for other, fields in new.owners.items():
                if other != owner or value is None:
                    fields.discard(path)
        return self._commit(key, old, new, query)

    def delete(self, key: Key, options: Object) -> None:
        stored = self.store.get(key)
        if not stored:
            raise HttpError(404, "NotFound", f'{key[1]} "{key[3]}" not found')
        uid = (options.get("preconditions") or {}).get("uid")
        if uid and uid != stored.object["metadata"]["uid"]:
            raise HttpError(409, "Conflict", "the UID in the precondition does not match")
        if key[1] == "pods" and stored.object["spec"].get("nodeName") and options.get("gracePeriodSeconds") != 0:
            # A Pod on a node is deleted when the kubelet has ended it.
            self.version += 1
            metadata = stored.object["metadata"]
            metadata.update(deletionTimestamp="2026-01-01T00:00:30Z", resourceVersion=str(self.version))
            self._emit("MODIFIED", key)
        else:
            self._remove(key)
        self.count_write(f"delete {stored.object['kind']} {key[3]}")


def _default(obj: Object) -> None:
    """Add and rewrite fields like a server, for replicas and quantities only."""
    if obj["kind"] in ("Deployment", "StatefulSet"):
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        for container in read(spec, ("template", "spec", "containers")) or []:
            limits = (container.get("resources") or {}).get("limits") or {}
            limits.update({name: "1" for name, value in limits.items() if value == "1000m"})


def _conflict(clashes: list[tuple[Path_, Manager]]) -> HttpError:
    causes = []
    for path, (name, operation, sub) in clashes:
        text = f'conflict with "{name}"' + (f' with subresource "{sub}"' if sub else "")
        text += " using v1 at 2026-01-01T00:00:00Z" if operation == "Update" else ""
        shown = "".join(f'[name="{key[2:]}"]' if key.startswith("k:") else f".{key}" for key in path)
        causes.append({"reason": "FieldManagerConflict", "message": text, "field": shown})
    message = f"Apply failed with {len(causes)} conflicts: {causes}"
    return HttpError(409, "Conflict", message, causes=causes)


def _selected(labels: dict[str, str], selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        key, equals, value = term.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _fields_selected(obj: Object, selector: str) -> bool:
    terms = (term.partition("=") for term in filter(None, selector.split(",")))
    return all(read(obj, tuple(field.split("."))) == value for field, _equals, value in terms)


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1

        def setup(self) -> None:
            super().setup()
            api.connections += 1

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
            """Log nothing."""

        def serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            with api.lock:
                api.requests.append(f"{self.command} {self.path}")
                fault = next((f for f in api.faults if f.times > 0 and re.search(f.match, api.requests[-1])), None)
                if fault:
                    fault.times -= 1
            if api.dead or (fault and fault.drop_before):
                self.close_connection = True
                return
            if fault and fault.delay:
                time.sleep(fault.delay)
            if fault and fault.status:
                self.answer(fault.status, {"message": fault.message, "code": fault.status}, fault.headers)
                return
            answer: tuple[int, t.Any] | None
            try:
                answer = self.route(body)
            except HttpError as error:
                answer = (int(str(error.body["code"])), error.body)
            if api.dead or (fault and fault.drop_after):
                self.close_connection = True
                return
            if answer:
                self.answer(*answer)

        do_GET = do_PATCH = do_POST = do_DELETE = serve  # noqa: N815  the names that http.server requires

        def answer(self, status: int, body: t.Any, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        def route(self, body: Object) -> tuple[int, t.Any] | None:
            url = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(url.query).items()}
            if self.command == "GET" and (found := api.answers.get(url.path) or self.discover(url.path)):
                return found
            match = _ROUTE.match(url.path)
            entry = api.kinds.get((match["group"] or "", match["plural"])) if match else None
            if not match or not entry or match["version"] not in api.versions[entry["group"]]:
                raise HttpError(404, "NotFound", "the server could not find the requested resource")
            key = (entry["group"], entry["name"], match["ns"] or "", match["name"] or "")
            api_version = "/".join(filter(None, (entry["group"], match["version"])))
            if self.command == "GET" and query.get("watch"):
                self.watch(key, query)
                return None
            with api.lock:
                if self.command == "GET":
                    return self.get(key, query) if key[3] else self.list(key, query, entry["kind"], api_version)
                if self.command == "DELETE":
                    api.delete(key, body)
                    return 200, {"kind": "Status", "status": "Success"}
                if entry["namespaced"] and ("", "namespaces", "", key[2]) not in api.store:
                    raise HttpError(404, "NotFound", f'namespaces "{key[2]}" not found')
                if self.command == "POST":
                    key = (*key[:3], body["metadata"]["name"])
                    if key in api.store:
                        raise HttpError(409, "AlreadyExists", f'{key[1]} "{key[3]}" already exists')
                    return 201, api.put({"apiVersion": api_version, **body}, query.get("fieldManager", "unknown"))
                if "apply" in self.headers["Content-Type"]:
                    return api.apply(key, body, query)
                return 200, api.merge(key, body, query, match["sub"])

        @staticmethod
        def discover(path: str) -> tuple[int, t.Any] | None:
            if path == "/version":
                return 200, {"gitVersion": "v1.36.0"}
            parts = path.strip("/").split("/")
            if len(parts) > {"api": 2, "apis": 3}.get(parts[0], 0):
                return None
            group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2] if len(parts) > 2 else "")
            versions = api.versions.get(group, [])
            if parts[0] == "apis" and not version and versions:
                names = [{"groupVersion": f"{group}/{name}", "version": name} for name in versions]
                return 200, {"kind": "APIGroup", "name": group, "versions": names, "preferredVersion": names[0]}
            if version not in versions:
                raise HttpError(404, "NotFound", "the server could not find the requested resource")
            return 200, {"resources": [entry for entry in api.kinds.values() if entry["group"] == group]}

        @staticmethod
        def get(key: Key, query: dict[str, str]) -> tuple[int, Object]:
            if key not in api.store:
                raise HttpError(404, "NotFound", f'{key[1]} "{key[3]}" not found')
            return 200, api._render(api.store[key])

        @staticmethod
        def list(key: Key, query: dict[str, str], kind: str, api_version: str) -> tuple[int, Object]:
            found = [
                api._render(stored)
                for other, stored in sorted(api.store.items())
                if other[:2] == key[:2]
                and (not key[2] or other[2] == key[2])
                and _selected(stored.object["metadata"].get("labels") or {}, query.get("labelSelector", ""))
                and _fields_selected(stored.object, query.get("fieldSelector", ""))
            ]
            start = int(query.get("continue", 0))
            size = min(api.page, int(query.get("limit", api.page)))
            metadata = {"resourceVersion": str(api.version)}
            if start + size < len(found):
                metadata["continue"] = str(start + size)
            items = [{k: v for k, v in item.items() if k not in ("kind", "apiVersion")} for item in found]
            return 200, {"kind": f"{kind}List", "items": items[start : start + size], "metadata": metadata}

        def watch(self, key: Key, query: dict[str, str]) -> None:
            since = int(query.get("resourceVersion", 0))
            deadline = time.monotonic() + float(query.get("timeoutSeconds", 60))
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            while (left := deadline - time.monotonic()) > 0 and not api.dead:
                with api.lock:
                    fresh = [entry for entry in api.log if entry[0] > since]
                    expired = since < api.expired_before
                    if not fresh and not expired:
                        api.lock.wait(min(left, 0.5))
                        continue
                if expired:
                    self.chunk({"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}})
                    break
                since = fresh[-1][0]
                for _version, kind, changed, obj in fresh:
                    labels = obj["metadata"].get("labels") or {}
                    wanted = changed[:2] == key[:2] and (not key[2] or changed[2] == key[2])
                    wanted = wanted and _fields_selected(obj, query.get("fieldSelector", ""))
                    if wanted and _selected(labels, query.get("labelSelector", "")):
                        self.chunk({"type": kind, "object": obj})
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()

        def chunk(self, event: Object) -> None:
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

    return Handler
