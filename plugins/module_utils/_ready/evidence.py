# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Explain why an object is not ready by the state of its pods and its last warning event. PRIVATE to the collection.

This module reads pods and events once, for the error message. It does not decide whether an object is ready.
"""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, ApiUnavailable, UnknownKind
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.pod import pod_status
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.rules import group_kind
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import selector_of
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

_RUN_PODS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "Rollout"})


class Evidence:
    """Pods and events that explain why objects are not ready."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._listed: dict[tuple[str, str], list[Object]] = {}
        self.problem = ""
        """Why pods or events could not be read; empty if they could."""

    def explain(self, obj: Object) -> list[str]:
        """Return details about an object beyond its own status, the most relevant first."""
        namespace = obj["metadata"].get("namespace") or ""
        pods = self._pods_of(obj, namespace)
        lines = []
        held_up = [(pod, status) for pod in pods if not (status := pod_status(pod)).ready]
        # The youngest pod has the newest template, which is the one that must become ready.
        held_up.sort(key=lambda pair: str(pair[0]["metadata"].get("creationTimestamp")), reverse=True)
        if held_up:
            pod, status = held_up[0]
            more = f" (and {len(held_up) - 1} more pods not ready)" if len(held_up) > 1 else ""
            lines.append(f"pod {pod['metadata']['name']}: {status.reason}{more}")
        warning = self._last_warning(obj, [pod for pod, _status in held_up], namespace)
        if warning:
            lines.append(warning)
        return lines

    def _pods_of(self, obj: Object, namespace: str) -> list[Object]:
        selector = selector_of((obj.get("spec") or {}).get("selector")) if obj.get("kind") in _RUN_PODS else None
        if selector is None or not selector.requirements:
            return []
        alive = [pod for pod in self._list("Pod", namespace) if not pod["metadata"].get("deletionTimestamp")]
        return [pod for pod in alive if selector.matches(pod)]

    def _last_warning(self, obj: Object, pods: list[Object], namespace: str) -> str:
        about = {_reference(item) for item in (obj, *pods)}
        name = obj["metadata"]["name"]
        # Events that explain why a Deployment cannot create pods refer to its ReplicaSets.
        makes_sets = group_kind(obj) in (("apps", "Deployment"), ("argoproj.io", "Rollout"))
        found: list[tuple[str, Object]] = []
        for event in self._list("Event", namespace or "default"):
            involved = event.get("involvedObject") or {}
            # A BackOff event repeats the state of the container.
            if event.get("type") != "Warning" or event.get("reason") == "BackOff":
                continue
            of_set = makes_sets and involved.get("kind") == "ReplicaSet" and _parent(involved.get("name")) == name
            if (involved.get("kind"), involved.get("name")) in about or of_set:
                found.append((_when(event), event))
        if not found:
            return ""
        when, event = max(found, key=lambda pair: pair[0])
        involved = event["involvedObject"]
        message = " ".join(str(event.get("message") or "").split())
        about_what = f"{involved.get('kind')} {involved.get('name')}"
        return f"last warning: {event.get('reason')} on {about_what} at {when}: {message}"

    def _list(self, kind: str, namespace: str) -> list[Object]:
        key = (kind, namespace)
        if key not in self._listed:
            self._listed[key] = []
            if self.problem:
                return []
            try:
                resource = self._api.resource_for("v1", kind)
                chosen = "type=Warning" if kind == "Event" else ""
                self._listed[key] = list(self._api.list(resource, namespace, field_selector=chosen).items)
            except (ApiError, ApiUnavailable, UnknownKind) as error:
                # The wait has already failed. An error while reading its reasons must not replace that failure.
                self.problem = error.msg
        return self._listed[key]


def _reference(obj: Object) -> tuple[t.Any, t.Any]:
    return (obj.get("kind"), obj["metadata"]["name"])


def _parent(name: t.Any) -> str:
    return str(name).rpartition("-")[0]


def _when(event: Object) -> str:
    series = event.get("series") or {}
    made = event["metadata"].get("creationTimestamp")
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"), made)
    return next((str(moment) for moment in times if moment), "")
