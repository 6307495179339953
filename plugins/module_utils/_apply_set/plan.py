# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan the action for each object of a set with server-side dry runs. PRIVATE to the collection."""

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
    """Set the action of each item. A planner writes nothing to the cluster."""

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
        """Find the namespaces that the set will create. A missing one is an error, or a warning in check mode."""
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
                        f"namespace {name} does not exist and is not in the set. "
                        "Add a Namespace object to the set, or create the namespace first"
                    )
                )
            else:
                self.warnings.append(
                    f"Namespace {name} does not exist yet. Check mode assumes that an earlier task creates it."
                )
                self._pending.add(name)
        if problems:
            raise self.combined(problems)

    def plan(self, items: t.Sequence[Item]) -> None:
        """Plan items in parallel, and raise all their errors together."""
        errors: list[DrystoneError] = []
        for _item, error in in_parallel(self._plan, items):
            if not isinstance(error, DrystoneError):
                raise error
            errors.append(error)
        if errors:
            raise self.combined(errors)

    def replan(self, items: t.Sequence[Item]) -> None:
        """Plan deferred items again, now that their namespaces and kinds exist."""
        self._pending = set()
        self._so_far = "was applied in part (namespaces and definitions only)"
        for item in items:
            item.deferred = False
            item.crd = None
        self.plan(items)

    def combined(self, errors: list[DrystoneError]) -> DrystoneError:
        """Combine errors into one of the most severe class with all messages."""
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
            # The object cannot exist yet, and the server cannot validate it.
            item.action, item.result, item.deferred = "created", item.body, True
            return
        changing = bool(item.crd and item.crd.action == "configured")
        try:
            self._decide(item)
        except ApiError:
            if not changing:
                raise
            # The current definition does not know the fields that this object uses.
            item.live = self.members.get(item.key) or self.api.get(item.resource, item.name, item.namespace)
            item.action, item.result = ("configured" if item.live else "created"), item.body
        item.deferred = changing

    def _decide(self, item: Item) -> None:
        item.live = self.members.get(item.key)
        if item.live is None and item.group_kind == CRD and not self.check_mode:
            item.live = self.api.get(item.resource, item.name)
            if item.live is None:
                # Skip the dry run: for a large definition it costs the server as much as creating it.
                item.action, item.result = "created", item.body
                return
        try:
            applied = self._dry_run(item) if item.live is None else None
        except DrystoneError:
            # If the object exists, report a foreign owner rather than this error.
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
            raise NotReady(f"{item.title} was deleted while the set was planned. Run the task again.")
        self._settle_ownership(item, item.live)
        self._compare(item, item.live)

    def _settle_ownership(self, item: Item, live: Object) -> None:
        if (leaving := _leaving(item.title, live)) is not None:
            raise leaving
        owner = claim(live)
        if owner and owner != self.parent.id:
            raise Refused(
                f"{item.title} belongs to {self.parent.owner_of(self.api, owner)}. "
                "An object can be in one set only. Remove it from one of the two sets.",
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
            # Another client wrote the object in between. The diff must not contain its changes.
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
        # Somebody changed fields of an object that this set created. Take the fields back.
        item.force = True
        return self.api.apply(item.resource, body, dry_run=True, force=True)

    def _marked(self, obj: Object, *, shared: bool) -> Object:
        marked = copy.deepcopy(obj)
        section, key = ("annotations", SHARED_WITH) if shared else ("labels", PART_OF)
        marked["metadata"].setdefault(section, {})[key] = self.parent.id
        return marked


def _is_drift(conflict: FieldConflict) -> bool:
    """Return whether a conflict is a manual change rather than a field that another manager keeps controlling.

    A manager that uses apply controls its fields permanently, and an autoscaler writes replicas again and again. Any
    other update of an object that the set created is drift.
    """
    if conflict.subresource == "scale" and conflict.manager == "kube-controller-manager":
        return False
    return conflict.operation == "Update"


def _told(item: Item, conflicts: list[FieldConflict]) -> Conflict:
    def owner(conflict: FieldConflict) -> str:
        return conflict.manager + (f" (through {conflict.subresource})" if conflict.subresource else "")

    fields = ", ".join(f"{conflict.field} is owned by {owner(conflict)}" for conflict in conflicts)
    return Conflict(
        f"{item.title}: {fields}. Remove these fields from the manifest, or take them over with force_conflicts=true",
        conflicts=[{"object": item.title, **conflict.as_dict()} for conflict in conflicts],
    )


def _leaving(title: str, live: Object) -> NotReady | None:
    since = live["metadata"].get("deletionTimestamp")
    if not since:
        return None
    finalizers = live["metadata"].get("finalizers") or (live.get("spec") or {}).get("finalizers") or []
    kept = f"; finalizers: {', '.join(finalizers)}" if finalizers else ""
    return NotReady(f"{title} has been terminating since {since}{kept}. Run the task again when it is deleted")
