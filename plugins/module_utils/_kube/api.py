# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small Kubernetes API client: discovery, reads, watches, server-side apply, deletes. PRIVATE to the collection.

Objects are plain dictionaries.
"""

from __future__ import annotations

import json
import threading
import time
import typing as t
from urllib.parse import urlencode

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, UnknownKind
from ansible_collections.drystone.platform.plugins.module_utils._kube.config import Endpoint, load_kubeconfig
from ansible_collections.drystone.platform.plugins.module_utils._kube.http import Response, Transport
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import (
    Applied,
    ApplyConflict,
    Object,
    ObjectList,
    Resource,
    read_conflicts,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.watch import Event, watch

FIELD_MANAGER = "drystone"
_PAGE = 500
_WRITE_RACES = 5


class KubeApi:
    """A client of one API server; thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self._kinds: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_kubeconfig(
        cls,
        path: str,
        context: str | None = None,
        *,
        timeout: float = 30,
        retry_for: float = 30,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> KubeApi:
        """Create a client from one kubeconfig file. Ignore the environment.

        timeout limits each wait for the server, retry_for limits the time for retries of one request.
        """
        return cls.from_endpoint(
            load_kubeconfig(path, context), timeout=timeout, retry_for=retry_for, clock=clock, sleep=sleep
        )

    @classmethod
    def from_endpoint(cls, endpoint: Endpoint, **transport: t.Any) -> KubeApi:
        """Create a client for an endpoint; the keywords are those of Transport."""
        return cls(Transport(endpoint, **transport))

    @property
    def warnings(self) -> list[str]:
        """The server's warnings so far, such as deprecated API versions."""
        return sorted(self.transport.warnings)

    # Discovery

    def resource_for(self, api_version: str, kind: str) -> Resource:
        """Return the resource of a kind; raise UnknownKind if the server does not serve it."""
        kinds = self.kinds(api_version)
        if kind not in kinds:
            served = f"of this apiVersion it serves {', '.join(sorted(kinds)) or 'nothing'}"
            raise UnknownKind(
                f"The API server at {self.transport.endpoint.url} serves no {api_version} {kind}; {served}. "
                "Check the spelling, and check that the CustomResourceDefinition is installed.",
                api_version=api_version,
                kind=kind,
            )
        return kinds[kind]

    def kinds(self, api_version: str) -> dict[str, Resource]:
        """Return the resources of an apiVersion by kind; empty if it is not served. Cache a non-empty result."""
        with self._lock:
            known = self._kinds.get(api_version)
        if known is None:
            prefix = "/apis/" if "/" in api_version else "/api/"
            answer = self.request("GET", prefix + api_version, missing_ok=True)
            group, _slash, version = api_version.rpartition("/")
            known = {
                entry["kind"]: Resource(group, version, entry["kind"], entry["name"], bool(entry["namespaced"]))
                for entry in (answer or {}).get("resources") or []
                if "/" not in entry["name"]
            }
            if known:
                with self._lock:
                    self._kinds[api_version] = known
        return known

    def preferred(self, group: str, kind: str) -> Resource | None:
        """Return a kind in any served version of its group, preferably in the server's preferred version."""
        if not group:
            return self.kinds("v1").get(kind)
        answer = self.request("GET", f"/apis/{group}", missing_ok=True) or {}
        first = (answer.get("preferredVersion") or {}).get("groupVersion")
        versions = [entry["groupVersion"] for entry in answer.get("versions") or []]
        for version in sorted(versions, key=lambda version: version != first):
            if resource := self.kinds(version).get(kind):
                return resource
        return None

    # Reads

    def get(self, resource: Resource, name: str, namespace: str | None = None) -> Object | None:
        """Read one object; None if it does not exist."""
        path = resource.path(namespace, name)
        doing = f"Reading {resource.describe(namespace, name)}"
        found: Object | None = self.request("GET", path, doing=doing, missing_ok=True)
        return found

    def list(
        self, resource: Resource, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> ObjectList:
        """List the objects of a kind in one namespace or in all. Read pages and return one list."""
        query = {"limit": str(_PAGE), "labelSelector": label_selector, "fieldSelector": field_selector}
        found = ObjectList()
        while True:
            path = f"{resource.path(namespace)}?{urlencode({key: value for key, value in query.items() if value})}"
            try:
                page = self.request("GET", path, doing=f"Listing {resource.describe(namespace, None)}")
            except ApiError as error:
                if error.status != 410 or "continue" not in query:
                    raise
                # The list took so long that the server no longer has its state: start again.
                found, query = ObjectList(), {key: query[key] for key in query if key != "continue"}
                continue
            for item in page.get("items") or []:
                # Items of a list do not contain apiVersion and kind.
                found.items.append({"apiVersion": resource.api_version, "kind": resource.kind, **item})
            metadata = page.get("metadata") or {}
            found.resource_version = metadata.get("resourceVersion", "")
            if not metadata.get("continue"):
                return found
            query["continue"] = metadata["continue"]

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str | None = None,
        timeout: float = 60,
    ) -> t.Iterator[Event]:
        """Follow the objects of a kind until the timeout; see watch.watch."""
        selectors = {"label_selector": label_selector, "field_selector": field_selector}
        return watch(
            self.transport,
            lambda: self.list(resource, namespace, **selectors),
            resource,
            namespace,
            resource_version=resource_version,
            timeout=timeout,
            **selectors,
        )

    # Writes

    def apply(
        self,
        resource: Resource,
        obj: Object,
        *,
        field_manager: str = FIELD_MANAGER,
        dry_run: bool = False,
        force: bool = False,
    ) -> Applied:
        """Apply an object on the server. With dry_run the server returns the result and persists nothing.

        The server refuses unknown fields. Raise ApplyConflict if another manager owns a field, unless force is set.
        """
        metadata = obj["metadata"]
        name, namespace = metadata["name"], metadata.get("namespace")
        query = {"fieldManager": field_manager, "force": str(force).lower(), "fieldValidation": "Strict"}
        if dry_run:
            query["dryRun"] = "All"
        what = resource.describe(namespace, name)
        path = f"{resource.path(namespace, name)}?{urlencode(query)}"
        body = json.dumps(obj, separators=(",", ":")).encode()
        for _attempt in range(_WRITE_RACES):
            answer = self.transport.request("PATCH", path, body=body, content_type="application/apply-patch+yaml")
            if answer.status in (200, 201):
                return Applied(answer.json(), answer.status == 201)
            status = answer.json()
            if answer.status == 409 and (conflicts := read_conflicts(status)):
                raise ApplyConflict(what, conflicts)
            if answer.status != 409:
                break
            # A 409 without causes means that another client wrote between the server's read and its write.
        raise self._error(answer, f"Applying {what}")

    def create(self, resource: Resource, obj: Object, *, field_manager: str = FIELD_MANAGER) -> Object:
        """Create an object; raise ApiError with status 409 if it already exists."""
        metadata = obj["metadata"]
        namespace = metadata.get("namespace")
        path = f"{resource.path(namespace)}?{urlencode({'fieldManager': field_manager})}"
        doing = f"Creating {resource.describe(namespace, metadata.get('name'))}"
        created: Object = self.request("POST", path, body=obj, doing=doing)
        return created

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Object,
        namespace: str | None = None,
        *,
        field_manager: str = FIELD_MANAGER,
        subresource: str = "",
    ) -> Object:
        """Merge-patch one object."""
        path = resource.path(namespace, name) + (f"/{subresource}" if subresource else "")
        patched: Object = self.request(
            "PATCH",
            f"{path}?{urlencode({'fieldManager': field_manager})}",
            body=patch,
            content_type="application/merge-patch+json",
            doing=f"Patching {resource.describe(namespace, name)}",
        )
        return patched

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        grace: int | None = None,
    ) -> bool:
        """Delete one object in the background; return False if it did not exist.

        With uid delete only the object with this uid. grace replaces the object's own grace period, in seconds.
        """
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        if uid:
            body["preconditions"] = {"uid": uid}
        doing = f"Deleting {resource.describe(namespace, name)}"
        path = resource.path(namespace, name)
        return self.request("DELETE", path, body=body, doing=doing, missing_ok=True) is not None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        content_type: str = "application/json",
        doing: str = "",
        missing_ok: bool = False,
        retry_for: float | None = None,
    ) -> t.Any:
        """Send any request and return the decoded response. The message of an ApiError begins with `doing`.

        With missing_ok return None for status 404.
        """
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        answer = self.transport.request(method, path, body=data, content_type=content_type, retry_for=retry_for)
        if answer.status == 404 and missing_ok:
            return None
        if answer.status >= 300:
            raise self._error(answer, doing or f"{method} {path}")
        decoded = answer.json()
        return answer.body.decode(errors="replace") if decoded is None else decoded

    def _error(self, answer: Response, doing: str) -> ApiError:
        status = answer.json()
        status = status if isinstance(status, dict) else {}
        text = status.get("message") or answer.body[:200].decode(errors="replace").strip() or "no further text"
        reason = str(status.get("reason") or "")
        return ApiError(
            f"{doing}: the API server answered {answer.status}{f' {reason}' if reason else ''}: {text}",
            status=answer.status,
            reason=reason,
        )
