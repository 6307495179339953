# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide what to do for one changed ConfigMap or Secret, with pure functions of objects from the API server.

Hash, variable name and choice of the container are the same as upstream's, so that a change of the image restarts
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import re
import typing as t

Object = dict[str, t.Any]

AUTO = "reloader.stakater.com/auto"
NAMED = {
    "ConfigMap": "configmap.reloader.stakater.com/reload",
    "Secret": "secret.reloader.stakater.com/reload",  # nosec B105  # the name of an annotation
}
# Upstream's other strategy leaves this annotation in a Pod template; it requests nothing.
_LEFT_BEHIND = {"reloader.stakater.com/last-reloaded-from"}
_RELOADERS = re.compile(r"(?:^|\.)reloader\.stakater\.com/")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


def digest(resource: Object) -> str:
    """Hash the content of a ConfigMap or Secret, without labels and annotations."""
    entries = []
    for key, value in (resource.get("data") or {}).items():
        if resource["kind"] == "Secret":
            entries.append(f"{key}=".encode() + base64.b64decode(value or ""))
        else:
            entries.append(f"{key}={value}".encode())
    entries += [f"{key}={value}".encode() for key, value in (resource.get("binaryData") or {}).items()]
    return hashlib.sha1(b";".join(sorted(entries)), usedforsecurity=False).hexdigest()


def variable(kind: str, name: str) -> str:
    """Return the name of the environment variable with the hash of a resource."""
    return f"STAKATER_{re.sub(r'[^A-Z0-9]+', '_', name.upper()).lstrip('_')}_{kind.upper()}"


def refusals(obj: Object) -> list[str]:
    """Return the annotations of an object that only upstream's Reloader supports."""
    annotations = obj["metadata"].get("annotations") or {}
    asked = [key for key in annotations if _RELOADERS.search(key)]
    if "template" not in obj.get("spec", {}):
        return sorted(asked)
    template = obj["spec"]["template"].get("metadata", {}).get("annotations") or {}
    found = [key for key in asked if key not in {AUTO, *NAMED.values()}]
    found += [f"{key} in the Pod template" for key in template if _RELOADERS.search(key) and key not in _LEFT_BEHIND]
    if annotations.get(AUTO, "true") not in ("true", "false"):
        found.append(f"{AUTO}: {annotations[AUTO]!r} (true or false)")
    for key in NAMED.values():
        items = _items(annotations[key]) if key in annotations else []
        found += [f"{key}: {item!r} (exact names, no patterns)" for item in items if not _NAME.fullmatch(item)]
    return sorted(found)


def _items(value: str) -> list[str]:
    return [item.strip() for item in value.split(",")]


def container_for(workload: Object, kind: str, name: str) -> str | None:
    """Return the container that gets the variable for a resource; None if the workload requests no reload."""
    annotations = workload["metadata"].get("annotations") or {}
    pod = workload["spec"]["template"]["spec"]
    if annotations.get(AUTO) == "true" and (user := _user(pod, kind, name)):
        return user
    if name in _items(annotations.get(NAMED[kind], "")):
        return _user(pod, kind, name) or t.cast("str", pod["containers"][0]["name"])
    return None


def _user(pod: Object, kind: str, name: str) -> str | None:
    volumes = {volume["name"] for volume in pod.get("volumes") or [] if _volume_shows(volume, kind, name)}
    for uses in (lambda one: _mounts(one, volumes), lambda one: _reads(one, kind, name)):
        for container in pod["containers"]:
            if uses(container):
                return t.cast("str", container["name"])
        if any(uses(container) for container in pod.get("initContainers") or []):
            return t.cast("str", pod["containers"][0]["name"])
    return None


def _volume_shows(volume: Object, kind: str, name: str) -> bool:
    if kind == "Secret":
        sources = [(volume.get("secret") or {}).get("secretName")]
    else:
        sources = [(volume.get("configMap") or {}).get("name")]
    projected = (volume.get("projected") or {}).get("sources") or []
    key = "secret" if kind == "Secret" else "configMap"
    return name in [*sources, *((source.get(key) or {}).get("name") for source in projected)]


def _mounts(container: Object, volumes: set[str]) -> bool:
    return any(mount["name"] in volumes for mount in container.get("volumeMounts") or [])


def _reads(container: Object, kind: str, name: str) -> bool:
    one, all_of_it = ("secretKeyRef", "secretRef") if kind == "Secret" else ("configMapKeyRef", "configMapRef")
    names = [((entry.get("valueFrom") or {}).get(one) or {}).get("name") for entry in container.get("env") or []]
    names += [(entry.get(all_of_it) or {}).get("name") for entry in container.get("envFrom") or []]
    return name in names


def recorded(workload: Object, container: str, variable_name: str) -> str | None:
    """Return the hash with which the running Pods started; None if there was no reload yet."""
    for one in workload["spec"]["template"]["spec"]["containers"]:
        if one["name"] == container:
            for entry in one.get("env") or []:
                if entry["name"] == variable_name:
                    return t.cast("str", entry.get("value", ""))
    return None


def patch(workload: Object, container: str, variable_name: str, value: str) -> tuple[str, Object]:
    """Return the patch that starts a rollout: its content type and its body."""
    entry = {"name": variable_name, "value": value}
    if workload["kind"] != "Rollout":
        containers = [{"name": container, "env": [entry]}]
        return "application/strategic-merge-patch+json", _in_template(containers)
    # The API server does not merge lists of custom resources, so send the whole list, valid only for this version.
    containers = [
        {**one, "env": [*(old for old in one.get("env") or [] if old["name"] != variable_name), entry]}
        if one["name"] == container
        else one
        for one in workload["spec"]["template"]["spec"]["containers"]
    ]
    version = {"metadata": {"resourceVersion": workload["metadata"]["resourceVersion"]}}
    return "application/merge-patch+json", {**version, **_in_template(containers)}


def _in_template(containers: list[Object]) -> Object:
    return {"spec": {"template": {"spec": {"containers": containers}}}}
