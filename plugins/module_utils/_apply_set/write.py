# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Execute the plan of an apply set in an order from which a killed run can be repeated. PRIVATE to the collection."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.items import (
    CRD,
    FOUNDATIONS,
    NAMESPACE,
    Item,
    Leaving,
    in_parallel,
)
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.parent import PART_OF, Parent, Scope
from ansible_collections.drystone.platform.plugins.module_utils._apply_set.plan import Planner
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

Thing = t.TypeVar("Thing")


class Writer:
    """Apply, prune and release objects."""

    def __init__(self, api: KubeApi, parent: Parent, planner: Planner | None = None, *, timeout: float) -> None:
        self.api = api
        self.parent = parent
        self.planner = planner
        self.timeout = timeout

    def apply(self, foundations: t.Sequence[Item], others: t.Sequence[Item], scope: Scope) -> None:
        """Apply namespaces and definitions, then the rest. The parent records the scope before that."""
        home = [item for item in foundations if item.group_kind == NAMESPACE and item.name == self.parent.namespace]
        self._apply(home)
        self.parent.write(self.api, scope)
        self._apply([item for item in foundations if item not in home])
        self._each(self._await_established, [item for item in foundations if item.group_kind == CRD])
        deferred = [item for item in others if item.deferred]
        if deferred and self.planner:
            kinds = {item.group_kind: item for item in deferred if item.crd}
            self._each(self._await_served, list(kinds.values()))
            self.planner.replan(deferred)
        for rank in sorted({item.rank for item in others}):
            self._apply([item for item in others if item.rank == rank])

    def let_go(self, leaving: t.Sequence[Leaving]) -> None:
        """Delete members that left the set, and remove the label from members that are kept."""
        for stage in (None, CRD, NAMESPACE):
            chosen = [
                gone for gone in leaving if (gone.group_kind if gone.group_kind in FOUNDATIONS else None) == stage
            ]
            self._each(self._let_one_go, chosen)

    def _let_one_go(self, gone: Leaving) -> None:
        if gone.action == "pruned":
            self.api.delete(gone.resource, gone.name, gone.namespace, uid=gone.obj["metadata"].get("uid"))
        else:
            unmarked = {"metadata": {"labels": {PART_OF: None}}}
            self.api.patch(gone.resource, gone.name, unmarked, gone.namespace)

    def _apply(self, items: t.Sequence[Item]) -> None:
        def write(item: Item) -> None:
            item.current = self.api.apply(item.resource, item.body or item.obj, force=item.force).object

        self._each(write, [item for item in items if item.action != "unchanged"])

    def _each(self, do: t.Callable[[Thing], None], things: t.Sequence[Thing]) -> None:
        """Call a function for each item. After a failure, start no further calls."""
        failed = threading.Event()

        def guarded(thing: Thing) -> None:
            if failed.is_set():
                return
            try:
                do(thing)
            except BaseException:
                failed.set()
                raise

        failures = in_parallel(guarded, things)
        if failures:
            error = failures[0][1]
            if isinstance(error, DrystoneError):
                error.msg += f" Set {self.parent.set_name} was applied in part. Fix the cause and run the task again."
            raise error

    def _await_established(self, item: Item) -> None:
        """Watch a definition until the server has established it."""
        current = item.current or {}
        if _established(item, current):
            return
        events = self.api.watch(
            item.resource,
            field_selector=f"metadata.name={item.name}",
            resource_version=current["metadata"].get("resourceVersion"),
            timeout=self.timeout,
        )
        for event in events:
            if any(_established(item, obj) for obj in event.objects if obj["metadata"]["name"] == item.name):
                return
        raise NotReady(
            f"{item.title} was applied, but is not Established after {self.timeout:g} s. Check its status.conditions."
        )

    def _await_served(self, item: Item) -> None:
        """Wait until the server serves a kind. This takes a moment after its definition is established."""
        clock, pause = self.api.transport.clock, _FIRST_PAUSE
        deadline = clock() + self.timeout
        while self.api.request("GET", f"{item.resource.path()}?limit=1", missing_ok=True) is None:
            if clock() + pause > deadline:
                raise NotReady(
                    f"The definition of {item.resource.api_version} {item.resource.kind} is Established, but the API "
                    f"server does not serve the kind after {self.timeout:g} s. Run the task again."
                )
            self.api.transport.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)


def _established(item: Item, crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    state = {condition["type"]: condition for condition in conditions}
    names = state.get("NamesAccepted") or {}
    if names.get("status") == "False":
        raise NotReady(f"{item.title} cannot be established: {names.get('message') or names.get('reason')}.")
    return (state.get("Established") or {}).get("status") == "True"
