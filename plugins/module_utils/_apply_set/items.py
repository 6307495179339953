# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of an apply set, each with its API resource. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.parent import PART_OF
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, UnknownKind
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object, Resource

Key = tuple[str, str, str, str]  # group, kind, namespace, name

NAMESPACE = ("", "Namespace")
CRD = ("apiextensions.k8s.io", "CustomResourceDefinition")
FOUNDATIONS = (NAMESPACE, CRD)
# Kinds that contain data or other objects. Deleting one also deletes content that the set did not create.
PROTECTED = (NAMESPACE, CRD, ("", "PersistentVolumeClaim"), ("", "PersistentVolume"))

_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"})
_HOOKS = frozenset({"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"})
_WORKERS = 8

In = t.TypeVar("In")


@dataclass
class Item:
    """One object of the set: its desired state, its live state and the planned action."""

    obj: Object
    resource: Resource
    crd: Item | None = None
    """The definition of its kind, if the set contains one."""
    action: str = ""
    body: Object | None = None
    """The request body: the object with the label or annotation of the set."""
    force: bool = False
    live: Object | None = None
    result: Object | None = None
    """The object after the run."""
    current: Object | None = None
    """The last response of the server for this object, including the status."""
    deferred: bool = False
    """Whether to plan the object again once its namespace and its kind exist."""

    @property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind."""
        return self.resource.group, self.resource.kind

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace, empty if it has none."""
        return str(self.obj["metadata"].get("namespace") or "")

    @property
    def key(self) -> Key:
        """The identity of the object."""
        return (*self.group_kind, self.namespace, self.name)

    @property
    def title(self) -> str:
        """The object's kind and name, for messages."""
        return self.resource.describe(self.namespace, self.name)

    @property
    def rank(self) -> int:
        """The order of application: configuration first, then workloads, then admission webhooks."""
        return 2 if self.resource.kind in _HOOKS else 1 if self.resource.kind in _WORKLOADS else 0

    def report(self) -> dict[str, str]:
        """Return the object's entry in the module's result."""
        return outcome(self.resource, self.namespace, self.name, self.action)


@dataclass
class Leaving:
    """A member that is no longer in the set."""

    resource: Resource
    obj: Object
    action: str

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The object's namespace, empty if it has none."""
        return str(self.obj["metadata"].get("namespace") or "")

    @property
    def group_kind(self) -> tuple[str, str]:
        """Group and kind."""
        return self.resource.group, self.resource.kind

    @property
    def title(self) -> str:
        """The object's kind and name, for messages."""
        return self.resource.describe(self.namespace, self.name)

    @property
    def result(self) -> Object | None:
        """The object after the run, or None if it is pruned."""
        if self.action == "pruned":
            return None
        metadata = self.obj["metadata"]
        labels = {name: value for name, value in metadata["labels"].items() if name != PART_OF}
        return {**self.obj, "metadata": {**metadata, "labels": labels}}

    def report(self) -> dict[str, str]:
        """Return the object's entry in the module's result."""
        return outcome(self.resource, self.namespace, self.name, self.action)


def outcome(resource: Resource, namespace: str, name: str, action: str) -> dict[str, str]:
    """Return one entry of the module's result."""
    return {
        "api_version": resource.api_version,
        "kind": resource.kind,
        "namespace": namespace,
        "name": name,
        "action": action,
    }


def in_parallel(do: t.Callable[[In], object], things: t.Sequence[In]) -> list[tuple[In, BaseException]]:
    """Call a function for each item in parallel. Return the items that failed with their errors, in order."""
    if not things:
        return []
    with ThreadPoolExecutor(min(_WORKERS, len(things))) as pool:
        futures = [pool.submit(do, thing) for thing in things]
        failures = [(thing, future.exception()) for thing, future in zip(things, futures, strict=True)]
    return [(thing, error) for thing, error in failures if error is not None]


def resolve(
    api: KubeApi, objects: t.Sequence[Object], namespace: str, *, check_mode: bool
) -> tuple[list[Item], list[str]]:
    """Look up the API resource of each object, on the server or in a definition of the set itself.

    Report all problems together, before the first write. In check mode, assume kinds of an API group that does not
    exist yet and warn: a part that is installed earlier in the same run would have defined them.
    """
    versions = sorted({obj["apiVersion"] for obj in objects})
    for _version, error in in_parallel(api.kinds, versions):
        raise error
    defined = _defined(objects)
    items: list[Item] = []
    problems: list[str] = []
    warnings: list[str] = []
    for obj in objects:
        try:
            resource = defined.get((obj["apiVersion"], obj["kind"])) or api.resource_for(obj["apiVersion"], obj["kind"])
        except UnknownKind as error:
            assumed = _assumed(obj) if check_mode else None
            if assumed is None:
                problems.append(f"{obj['kind']} {obj['metadata']['name']}: {error.msg}")
                continue
            warnings.append(
                f"The API server does not serve {obj['apiVersion']} {obj['kind']} yet. Check mode assumes that an "
                "earlier task defines it."
            )
            resource = assumed
        items.append(Item(_placed(obj, resource, namespace), resource))
    problems += _duplicates(items)
    if problems:
        raise InvalidInput("The set was not applied: " + " ".join(problems), problems=problems)
    _connect(items)
    return items, sorted(set(warnings))


def _defined(objects: t.Sequence[Object]) -> dict[tuple[str, str], Resource]:
    found = {}
    for obj in objects:
        if obj["kind"] != CRD[1] or not obj["apiVersion"].startswith(CRD[0] + "/"):
            continue
        spec = obj.get("spec") or {}
        names, group = spec.get("names") or {}, str(spec.get("group"))
        for version in spec.get("versions") or []:
            if version.get("served", True):
                resource = Resource(
                    group,
                    version["name"],
                    str(names.get("kind")),
                    str(names.get("plural")),
                    spec.get("scope") != "Cluster",
                )
                found[resource.api_version, resource.kind] = resource
    return found


def _assumed(obj: Object) -> Resource | None:
    group, _slash, version = obj["apiVersion"].rpartition("/")
    if "." not in group or group.endswith(".k8s.io"):
        return None
    return Resource(group, version, obj["kind"], "", bool(obj["metadata"].get("namespace")))


def _placed(obj: Object, resource: Resource, namespace: str) -> Object:
    if resource.namespaced:
        obj["metadata"].setdefault("namespace", namespace)
    else:
        obj["metadata"].pop("namespace", None)
    return obj


def _duplicates(items: t.Sequence[Item]) -> list[str]:
    seen: set[Key] = set()
    twice: dict[str, None] = {}
    for item in items:
        if item.key in seen:
            twice[f"{item.title} ({item.resource.api_version}) is in the set more than once."] = None
        seen.add(item.key)
    return list(twice)


def _connect(items: t.Sequence[Item]) -> None:
    definitions = {
        (str(item.obj["spec"].get("group")), str((item.obj["spec"].get("names") or {}).get("kind"))): item
        for item in items
        if item.group_kind == CRD and item.obj.get("spec")
    }
    for item in items:
        item.crd = definitions.get(item.group_kind)
