# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides by server dry runs what applying a set would do, object by object. PRIVATE to the collection."""

from __future__ import annotations

import copy
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.items import (
    CRD,
    NAMESPACE,
    Item,
    Key,
    in_parallel,
)
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.parent import (
    PART_OF,
    SHARED_WITH,
    Parent,
    claim,
)
from ansible_collections.drystone.platform.plugins.module_utils._errors import (
    ApiError,
    Conflict,
    DrystoneError,
    InvalidInput,
    NotReady,
    Refused,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import comparable
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import (
    Applied,
    ApplyConflict,
    FieldConflict,
    Object,
    Resource,
)

_SNAPSHOTS = 4
_NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)


class Planner:
    """Fills in the action of items; writes nothing."""

    def __init__(
        self, api: KubeApi, parent: Parent, members: dict[Key, Object], *, force_conflicts: bool, check_mode: bool
    ) -> None:
        self.api = api
        self.parent = parent
        self.members = members
        self.force_conflicts = force_conflicts
        self.check_mode = check_mode
        self.warnings: list[str] = []
        self._pending: set[str] = set()
        self._so_far = "was not applied"

    def find_namespaces(self, items: t.Sequence[Item]) -> None:
        """Learn which namespaces are to come; those that nobody makes are an error, in check mode a warning."""
        planned = {item.name: item for item in items if item.group_kind == NAMESPACE}
        self._pending = {name for name, item in planned.items() if item.action == "created"}
        used = sorted(({item.namespace for item in items} | {self.parent.namespace}) - {""} - set(planned))
        live: dict[str, Object | None] = {}

        def look(name: str) -> None:
            live[name] = self.api.get(_NAMESPACES, name)

        for _name, error in in_parallel(look, used):
            raise error
        problems: list[DrystoneError] = []
        for name in used:
            found = live[name]
            if found is not None:
                if (leaving := _leaving(f"Namespace {name}", found)) is not None:
                    problems.append(leaving)
            elif not self.check_mode:
                problems.append(
                    InvalidInput(
                        f"namespace {name} does not exist and is not in the set; "
                        "add a Namespace object to the set, or make the namespace first"
                    )
                )
            else:
                self.warnings.append(f"Namespace {name} does not exist yet. Check mode takes it that it is made first.")
                self._pending.add(name)
        if problems:
            raise self.combined(problems)

    def plan(self, items: t.Sequence[Item]) -> None:
        """Plan items side by side; everything that stands in the way of any of them is told at once."""
        errors: list[DrystoneError] = []
        for _item, error in in_parallel(self._plan, items):
            if not isinstance(error, DrystoneError):
                raise error
            errors.append(error)
        if errors:
            raise self.combined(errors)

    def replan(self, items: t.Sequence[Item]) -> None:
        """Plan again what was deferred, now that namespaces and kinds are there."""
        self._pending = set()
        self._so_far = "is applied in part, namespaces and definitions only"
        for item in items:
            item.deferred = False
            item.crd = None
        self.plan(items)

    def combined(self, errors: list[DrystoneError]) -> DrystoneError:
        """Make one error of many: of the gravest class, with every message."""
        classes: tuple[type[DrystoneError], ...] = (Refused, Conflict, NotReady, InvalidInput)
        kind = next((kind for kind in classes if any(isinstance(error, kind) for error in errors)), DrystoneError)
        messages = [error.msg.rstrip(".") for error in errors]
        conflicts = [conflict for error in errors for conflict in error.facts.get("conflicts", [])]
        return kind(
            f"Set {self.parent.set_name} {self._so_far}: {'; '.join(messages)}.",
            problems=messages,
            **({"conflicts": conflicts} if conflicts else {}),
        )

    def _plan(self, item: Item) -> None:
        item.body = self._marked(item.obj, shared=False)
        item.force = self.force_conflicts
        if item.namespace in self._pending or not item.resource.plural or (item.crd and item.crd.action == "created"):
            # It cannot be there yet, and the server could not be asked.
            item.action, item.result, item.deferred = "created", item.body, True
            return
        changing = bool(item.crd and item.crd.action == "configured")
        try:
            self._decide(item)
        except ApiError:
            if not changing:
                raise
            # The definition that is still in force does not know what this object uses.
            item.live = self.members.get(item.key) or self.api.get(item.resource, item.name, item.namespace)
            item.action, item.result = ("configured" if item.live else "created"), item.body
        item.deferred = changing

    def _decide(self, item: Item) -> None:
        item.live = self.members.get(item.key)
        if item.live is None and item.group_kind == CRD and not self.check_mode:
            item.live = self.api.get(item.resource, item.name)
            if item.live is None:
                # Trying a large definition costs the server as much as making it, and it is made first anyway.
                item.action, item.result = "created", item.body
                return
        try:
            applied = self._dry_run(item) if item.live is None else None
        except DrystoneError:
            # Whose the object is matters more than what is wrong with it.
            item.live = self.api.get(item.resource, item.name, item.namespace)
            if item.live is None:
                raise
        else:
            if applied and applied.created:
                item.action, item.result = "created", item.body
                return
        if item.live is None:
            item.live = self.api.get(item.resource, item.name, item.namespace)
        if item.live is None:
            raise NotReady(f"{item.title} was deleted while it was looked at. Run again.")
        self._settle_ownership(item, item.live)
        self._compare(item, item.live)

    def _settle_ownership(self, item: Item, live: Object) -> None:
        if (leaving := _leaving(item.title, live)) is not None:
            raise leaving
        owner = claim(live)
        if owner and owner != self.parent.id:
            raise Refused(
                f"{item.title} belongs to {self.parent.owner_of(self.api, owner)}. "
                "An object can be in one set only: take it out of one of them.",
                object=item.title,
                owner=owner,
            )
        if (live["metadata"].get("labels") or {}).get(PART_OF) != self.parent.id:
            item.body = self._marked(item.obj, shared=True)

    def _compare(self, item: Item, live: Object) -> None:
        for _attempt in range(_SNAPSHOTS):
            result = self._dry_run(item).object
            item.live, item.result, item.current = live, result, result
            if comparable(live) == comparable(result):
                item.action = "unchanged"
                return
            if live["metadata"].get("resourceVersion") == result["metadata"].get("resourceVersion"):
                break
            # Somebody wrote in between: what they changed must not be shown as ours.
            live = self.api.get(item.resource, item.name, item.namespace) or live
        item.action = "configured"

    def _dry_run(self, item: Item) -> Applied:
        body = item.body or item.obj
        try:
            return self.api.apply(item.resource, body, dry_run=True, force=item.force)
        except ApplyConflict as error:
            member = item.live is not None and PART_OF in (body["metadata"].get("labels") or {})
            foreign = [conflict for conflict in error.conflicts if not member or not _is_drift(conflict)]
            if foreign:
                raise _told(item, foreign) from error
        # Fields of an object that we made were changed by hand.
        item.force = True
        return self.api.apply(item.resource, body, dry_run=True, force=True)

    def _marked(self, obj: Object, *, shared: bool) -> Object:
        marked = copy.deepcopy(obj)
        section, key = ("annotations", SHARED_WITH) if shared else ("labels", PART_OF)
        marked["metadata"].setdefault(section, {})[key] = self.parent.id
        return marked


def _is_drift(conflict: FieldConflict) -> bool:
    """Tell a change by hand from a field that somebody goes on ruling.

    A manager that applies states what it wants for good, and an autoscaler writes replicas again and again; any other
    update of an object that we made is drift.
    """
    if conflict.subresource == "scale" and conflict.manager == "kube-controller-manager":
        return False
    return conflict.operation == "Update"


def _told(item: Item, conflicts: list[FieldConflict]) -> Conflict:
    def owner(conflict: FieldConflict) -> str:
        return conflict.manager + (f" (by way of {conflict.subresource})" if conflict.subresource else "")

    fields = ", ".join(f"{conflict.field} is owned by {owner(conflict)}" for conflict in conflicts)
    return Conflict(
        f"{item.title}: {fields}. Leave these fields out of the manifest, or take them over with force_conflicts=true",
        conflicts=[{"object": item.title, **conflict.as_dict()} for conflict in conflicts],
    )


def _leaving(title: str, live: Object) -> NotReady | None:
    since = live["metadata"].get("deletionTimestamp")
    if not since:
        return None
    finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or []
    kept = f"; finalizers: {', '.join(finalizers)}" if finalizers else ""
    return NotReady(f"{title} is being deleted since {since}{kept}. Run again when it is gone")
