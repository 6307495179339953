# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent object of an apply set, which lists the kinds and namespaces of members (KEP-3659). PRIVATE."""

from __future__ import annotations

import base64
import hashlib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._errors import Refused
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object, Resource

PART_OF = "applyset.kubernetes.io/part-of"
# The annotation of an object that existed before the set: its fields are managed, but it is never deleted.
SHARED_WITH = "drystone.dev/apply-set"
_ID = "applyset.kubernetes.io/id"
_TOOLING = "applyset.kubernetes.io/tooling"
_GROUP_KINDS = "applyset.kubernetes.io/contains-group-kinds"
_NAMESPACES = "applyset.kubernetes.io/additional-namespaces"
_TOOL = "drystone"
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)


@dataclass
class Scope:
    """The kinds of a set's members, such as Deployment.apps, and their namespaces except the parent's."""

    group_kinds: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)

    def __or__(self, other: Scope) -> Scope:
        return Scope(self.group_kinds | other.group_kinds, self.namespaces | other.namespaces)


class Parent:
    """The ConfigMap drystone-<set> in the set's namespace."""

    def __init__(self, name: str, namespace: str) -> None:
        self.set_name = name
        self.name = f"drystone-{name}"
        self.namespace = namespace
        digest = hashlib.sha256(f"{self.name}.{namespace}.ConfigMap.".encode()).digest()
        self.id = f"applyset-{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}-v1"
        self.exists = False
        self.scope = Scope()

    @property
    def title(self) -> str:
        """The parent's kind and name, for messages."""
        return f"ConfigMap {self.namespace}/{self.name}"

    def read(self, api: KubeApi) -> None:
        """Read the scope that the set had so far. Raise Refused if the ConfigMap is not the parent of this set."""
        live = api.get(CONFIG_MAP, self.name, self.namespace)
        if live is None:
            return
        metadata = live["metadata"]
        annotations = metadata.get("annotations") or {}
        found, tool = (metadata.get("labels") or {}).get(_ID), annotations.get(_TOOLING, "")
        if found != self.id or tool.partition("/")[0] != _TOOL:
            raise Refused(
                f"Applying set {self.set_name}: {self.title} exists, but it is not the parent of this set ({_ID} is "
                f"{found or 'missing'}, {_TOOLING} is {tool or 'missing'}). Choose another name, or delete the "
                "ConfigMap if it is not needed.",
                object=self.title,
            )
        self.exists = True
        self.scope = Scope(_split(annotations.get(_GROUP_KINDS)), _split(annotations.get(_NAMESPACES)))

    def needs(self, scope: Scope) -> bool:
        """Return whether the parent must be written to record this scope."""
        return not self.exists or self.scope != scope

    def write(self, api: KubeApi, scope: Scope) -> None:
        """Record the scope of the set in the parent, if it differs."""
        if not self.needs(scope):
            return
        api.apply(CONFIG_MAP, self.render(scope), force=True)
        self.exists, self.scope = True, scope

    def delete(self, api: KubeApi) -> None:
        """Delete the parent. Call this after all members are deleted."""
        api.delete(CONFIG_MAP, self.name, self.namespace)
        self.exists, self.scope = False, Scope()

    def render(self, scope: Scope) -> Object:
        """Return the parent as an object."""
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "labels": {_ID: self.id},
                "annotations": {
                    _TOOLING: f"{_TOOL}/v1.0.0",
                    _GROUP_KINDS: ",".join(sorted(scope.group_kinds)),
                    _NAMESPACES: ",".join(sorted(scope.namespaces - {self.namespace})),
                },
            },
        }

    def owner_of(self, api: KubeApi, set_id: str) -> str:
        """Describe the set with this id, for messages."""
        found = api.list(CONFIG_MAP, label_selector=f"{_ID}={set_id}").items
        names = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in found]
        return f"apply set {set_id} (parent ConfigMap {names[0]})" if names else f"apply set {set_id}"


def claim(obj: Object) -> str:
    """Return the id of the set that the object belongs to or is shared with, or an empty string."""
    metadata: dict[str, t.Any] = obj["metadata"]
    member = (metadata.get("labels") or {}).get(PART_OF)
    return member or (metadata.get("annotations") or {}).get(SHARED_WITH) or ""


def _split(text: str | None) -> set[str]:
    return {part for part in (text or "").split(",") if part}
