# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply a set of objects, prune objects that left the set, and delete the set. PRIVATE to the collection.

All objects are planned before the first write. The next run completes a run that was killed: the parent lists the kinds
and namespaces of members before the first member is created, and each object has its label from its first write.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.items import (
    FOUNDATIONS,
    PROTECTED,
    Item,
    Key,
    Leaving,
    in_parallel,
    resolve,
)
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.parent import PART_OF, Parent, Scope
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.plan import Planner
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.write import Writer
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import FIELD_MANAGER, KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import diff_entry
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object, Resource


@dataclass
class Options:
    """The options of the module."""

    name: str
    namespace: str
    prune: bool = True
    prune_protected: bool = False
    force_conflicts: bool = False
    timeout: int = 60
    check_mode: bool = False
    diff: bool = True
    """Whether to render the differences. For a large definition this takes longer than applying it."""


@dataclass
class Outcome:
    """The changes that were made, or would be made in check mode."""

    id: str
    changed: bool = False
    objects: list[dict[str, str]] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class ApplySet:
    """One run over one apply set."""

    def __init__(self, api: KubeApi, options: Options) -> None:
        self.api = api
        self.options = options
        self.parent = Parent(options.name, options.namespace)
        self.outcome = Outcome(self.parent.id)
        self._members: dict[Key, Object] = {}
        self._resources: dict[tuple[str, str], Resource] = {}

    def present(self, objects: t.Sequence[Object]) -> Outcome:
        """Apply the objects, and prune the members that left the set."""
        items, warnings = resolve(self.api, objects, self.options.namespace, check_mode=self.options.check_mode)
        self.outcome.warnings += warnings
        self.parent.read(self.api)
        scope = Scope(
            {item.resource.group_kind for item in items},
            {item.namespace for item in items} - {"", self.parent.namespace},
        )
        self._find_members(items)
        planner = Planner(
            self.api,
            self.parent,
            self._members,
            force_conflicts=self.options.force_conflicts,
            check_mode=self.options.check_mode,
        )
        foundations = [item for item in items if item.group_kind in FOUNDATIONS]
        others = [item for item in items if item.group_kind not in FOUNDATIONS]
        planner.plan(foundations)
        planner.find_namespaces(items)
        planner.plan(others)
        leaving = self._leaving({item.key for item in items}) if self.options.prune else []
        final = scope if self.options.prune else scope | self.parent.scope
        self.outcome.changed = self.parent.needs(final)
        if not self.options.check_mode:
            writer = Writer(self.api, self.parent, planner, timeout=self.options.timeout)
            writer.apply(foundations, others, scope | self.parent.scope)
            writer.let_go(leaving)
            self.parent.write(self.api, final)
        self.outcome.warnings += planner.warnings
        self._report(items, leaving)
        return self.outcome

    def absent(self) -> Outcome:
        """Delete the members of the set, then its parent."""
        self.parent.read(self.api)
        if not self.parent.exists:
            return self.outcome
        self._find_members([])
        leaving = self._leaving(set())
        if not self.options.check_mode:
            Writer(self.api, self.parent, timeout=self.options.timeout).let_go(leaving)
            self.parent.delete(self.api)
        self.outcome.changed = True
        self._report([], leaving)
        return self.outcome

    def _find_members(self, items: t.Sequence[Item]) -> None:
        """List all objects with the set's label, of the kinds that the set contains or contained before."""
        self._resources = {item.group_kind: item.resource for item in items if item.resource.plural}
        for group_kind in sorted(self.parent.scope.group_kinds):
            kind, _dot, group = group_kind.partition(".")
            if (group, kind) not in self._resources and (found := self.api.preferred(group, kind)):
                self._resources[group, kind] = found

        def find(resource: Resource) -> None:
            if resource.kind not in self.api.kinds(resource.api_version):
                return  # The definition of the kind is not applied yet.
            for obj in self.api.list(resource, label_selector=f"{PART_OF}={self.parent.id}").items:
                # Controllers copy labels, for example from a Service to its EndpointSlices. Such copies are no members.
                if _applied_by_us(obj):
                    metadata = obj["metadata"]
                    key = (resource.group, resource.kind, metadata.get("namespace") or "", metadata["name"])
                    self._members[key] = obj

        for _resource, error in in_parallel(find, list(self._resources.values())):
            raise error

    def _leaving(self, kept: set[Key]) -> list[Leaving]:
        found = []
        for key, obj in sorted(self._members.items()):
            if key not in kept and not obj["metadata"].get("deletionTimestamp"):
                safe = key[:2] not in PROTECTED or self.options.prune_protected
                found.append(Leaving(self._resources[key[:2]], obj, "pruned" if safe else "released"))
        return found

    def _report(self, items: t.Sequence[Item], leaving: t.Sequence[Leaving]) -> None:
        for item in items:
            self.outcome.objects.append(item.report())
            if item.action != "unchanged":
                before = item.live if item.action == "configured" else None
                self._report_change(item, before)
        for gone in leaving:
            self.outcome.objects.append(gone.report())
            self._report_change(gone, gone.obj)

    def _report_change(self, thing: Item | Leaving, before: Object | None) -> None:
        self.outcome.changed = True
        if self.options.diff:
            self.outcome.diff.append(diff_entry(_header(thing), before, thing.result))


def _header(thing: Item | Leaving) -> str:
    return f"{thing.resource.api_version} {thing.title} ({thing.action})"


def _applied_by_us(obj: Object) -> bool:
    return any(
        entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for entry in obj["metadata"].get("managedFields") or []
    )
