# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the ConfigMaps and Secrets of the listed namespaces and start rollouts of workloads that use a changed one.

The only persistent state is the hash in the Pod templates. In addition, the process remembers the content that it has
seen since its start. A workload needs a reload if its hash differs, or if it has no hash and the content changed while
this process was running. The process remembers new content only after every workload was handled, so the next list
repeats failed reloads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from . import decide
from .kube import Api, ApiError, Expired, Object
from .metrics import Metrics

COMPONENT = "Reloader"
RESOURCES = {"ConfigMap": "configmaps", "Secret": "secrets"}  # nosec B105  # a kind of objects
WORKLOADS = {
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
}
ROLLOUTS = {"Rollout": "/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts"}

Log = Callable[[str, str], None]


class Reloader:
    """One thread for each namespace and kind of resource."""

    def __init__(
        self,
        api: Api,
        namespaces: list[str],
        metrics: Metrics,
        log: Log,
        *,
        rollouts: bool = False,
        watch_seconds: int = 30,
        pause: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        self.stop = threading.Event()
        self._api = api
        self._unread = {(namespace, kind) for namespace in namespaces for kind in RESOURCES}
        self._metrics = metrics
        self._log = log
        self._paths = {**WORKLOADS, **(ROLLOUTS if rollouts else {})}
        self._watch_seconds = watch_seconds
        self._pause = pause
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], str] = {}
        self._told: set[tuple[str, ...]] = set()

    def start(self) -> None:
        """Start to follow in separate threads."""
        for namespace, kind in sorted(self._unread):
            threading.Thread(target=self.follow, args=(namespace, kind), daemon=True).start()

    def unread(self) -> str:
        """Return the resources that were not read yet, whose changes are not noticed; empty after the first lists."""
        return ", ".join(sorted(f"{RESOURCES[kind]} of {namespace}" for namespace, kind in self._unread.copy()))

    def follow(self, namespace: str, kind: str) -> None:
        """List, then watch. List again after every failure, with increasing pauses."""
        path = f"/api/v1/namespaces/{namespace}/{RESOURCES[kind]}"
        shortest, longest = self._pause
        pause = shortest
        while not self.stop.is_set():
            try:
                version = self._list(namespace, path)
                pause = shortest
                self._unread.discard((namespace, kind))
                self._watch(path, version)
            except Expired:
                continue
            except ApiError as error:
                self._metrics.add("reloader_errors_total", type="api")
                self._metrics.add("reloader_retries_total")
                self._log("error", f"{error}; again in {pause:g} s")
                self.stop.wait(pause)
                pause = min(pause * 2, longest)

    def _list(self, namespace: str, path: str) -> str:
        resources, version = self._api.list(path)
        workloads = self._workloads(namespace)
        self._each(resources, lambda resource: self.serve(resource, workloads))
        return version

    def _watch(self, path: str, version: str) -> None:
        while not self.stop.is_set():
            for kind, resource in self._api.watch(path, version, self._watch_seconds):
                version = resource["metadata"]["resourceVersion"]
                if kind == "BOOKMARK":
                    continue
                seen = {"ADDED": "add", "MODIFIED": "update", "DELETED": "delete"}[kind]
                self._metrics.add(
                    "reloader_events_received_total", event_type=seen, resource_type=RESOURCES[resource["kind"]]
                )
                if kind != "DELETED":
                    self.serve(resource)

    def _workloads(self, namespace: str) -> list[Object]:
        found: list[Object] = []
        for kind, path in self._paths.items():
            try:
                items, _version = self._api.list(path.format(namespace))
            except ApiError as error:
                if kind in ROLLOUTS and error.status == 404:
                    continue  # Argo Rollouts is not installed (yet)
                raise
            found += items
        return found

    @staticmethod
    def _each(things: Iterable[Object], do: Callable[[Object], None]) -> None:
        """Call a function for all items, even if it fails for one."""
        failed: ApiError | None = None
        for thing in things:
            try:
                do(thing)
            except ApiError as error:
                failed = failed or error
        if failed:
            raise failed

    def serve(self, resource: Object, workloads: list[Object] | None = None) -> None:
        """Reload the workloads that need the current content of one ConfigMap or Secret."""
        metadata = resource["metadata"]
        key = (metadata["namespace"], resource["kind"], metadata["name"])
        now = decide.digest(resource)
        with self._lock:
            before = self._known.get(key)
            if now == before or self._refused(resource):
                return
            self._each(
                self._workloads(key[0]) if workloads is None else workloads,
                lambda workload: self._reload(workload, resource, now, changed=before is not None),
            )
            self._known[key] = now

    def _reload(self, workload: Object, resource: Object, now: str, *, changed: bool) -> None:
        if workload["metadata"].get("deletionTimestamp") or self._refused(workload):
            return
        kind, name = resource["kind"], resource["metadata"]["name"]
        container = decide.container_for(workload, kind, name)
        if container is None:
            return
        variable = decide.variable(kind, name)
        started_with = decide.recorded(workload, container, variable)
        if started_with == now or (started_with is None and not changed):
            return
        namespace, workload_name = workload["metadata"]["namespace"], workload["metadata"]["name"]
        path = f"{self._paths[workload['kind']].format(namespace)}/{workload_name}"
        what = f"'{workload_name}' of type '{workload['kind']}' in namespace '{namespace}'"
        try:
            self._api.patch(path, *decide.patch(workload, container, variable, now), COMPONENT)
        except ApiError as error:
            if error.status == 404:
                return  # the workload was deleted, so no reload is necessary
            self._count(workload["kind"], done=False)
            self._tell(workload, "Warning", "ReloadFail", f"Update for {what} failed with error {error}")
            raise
        self._count(workload["kind"], done=True)
        cause = f"'{name}' of type '{kind.upper()}' in namespace '{namespace}'"
        self._tell(workload, "Normal", "Reloaded", f"Changes detected in {cause}, Updated {what}")

    def _count(self, kind: str, *, done: bool) -> None:
        self._metrics.add("reloader_reload_executed_total", success=str(done).lower())
        self._metrics.add("reloader_action_total", workload_kind=kind, result="success" if done else "error")

    def _refused(self, obj: Object) -> bool:
        refusals = decide.refusals(obj)
        mark = (obj["metadata"].get("uid", ""), *refusals)
        if refusals and mark not in self._told:
            self._told.add(mark)
            self._metrics.add("reloader_errors_total", type="unsupported_annotation")
            message = f"Left alone: Drystone's stand-in for Reloader does not know {'; '.join(refusals)}"
            self._tell(obj, "Warning", "UnsupportedAnnotation", message)
        return bool(refusals)

    def _tell(self, obj: Object, kind: str, reason: str, message: str) -> None:
        metadata = obj["metadata"]
        about = f"{obj['kind']} {metadata['namespace']}/{metadata['name']}"
        self._log("info" if kind == "Normal" else "warning", f"{about}: {reason}: {message}")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        names: Object = {key: metadata[key] for key in ("namespace", "name", "uid") if key in metadata}
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{metadata['name']}.{time.time_ns():x}", "namespace": metadata["namespace"]},
            "involvedObject": {"apiVersion": obj["apiVersion"], "kind": obj["kind"], **names},
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": COMPONENT},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._api.create(f"/api/v1/namespaces/{metadata['namespace']}/events", event)
        except ApiError as error:
            # The reload succeeded; a missing event is no reason to repeat it.
            self._log("warning", str(error))
