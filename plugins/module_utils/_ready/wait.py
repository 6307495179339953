# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until all conditions of a list hold at the same time. PRIVATE to the collection."""

from __future__ import annotations

import queue
import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import Condition, Item
from ansible_collections.drystone.platform.plugins.module_utils._ready.evidence import Evidence
from ansible_collections.drystone.platform.plugins.module_utils._ready.world import Update, Watchers, World

Receive = Callable[["queue.SimpleQueue[Update]", float], Update]

# The message shows at most this number of items. The returned data contains all of them.
_MOST_SHOWN = 25


@dataclass
class _Verdict:
    """The last verdict on a condition."""

    condition: Condition
    items: list[Item]
    timeout: float
    ready_since: float | None = None
    held: bool = False

    @property
    def unmet(self) -> list[Item]:
        return [item for item in self.items if not item.status.ready]


def _receive(updates: queue.SimpleQueue[Update], timeout: float) -> Update:
    return updates.get(timeout=timeout)


def not_there(conditions: Sequence[Condition], reason: str) -> dict[str, t.Any]:
    """Return the result for a cluster that does not exist yet."""
    unmet = {"kind": "", "namespace": "", "name": "", "reason": reason, "details": [], "terminal": False}
    rest = {"ready": False, "reason": reason, "elapsed": 0.0, "unmet": [{**unmet, "unchanged_for": 0.0}]}
    return {
        "ready": False,
        "elapsed": 0.0,
        "conditions": [{"type": condition.type, "title": condition.title, **rest} for condition in conditions],
    }


class ClusterReady:
    """Wait for conditions, or check them once."""

    def __init__(
        self,
        api: KubeApi | None,
        conditions: Sequence[Condition],
        timeout: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        receive: Receive = _receive,
        retry_after: float = 1.0,
        probe_every: float = 0.5,
        probe_timeout: float = 5.0,
    ) -> None:
        self._world = World(conditions)
        if api is None and any(condition.of_cluster for condition in conditions):
            needed = "Set kubeconfig: all conditions except http with a full URL and no secret_headers need a cluster."
            raise InvalidInput(needed)
        self._watchers = Watchers(
            self._world, api, retry_after=retry_after, probe_every=probe_every, probe_timeout=probe_timeout
        )
        timeouts = [timeout if one.timeout is None else one.timeout for one in conditions]
        self._verdicts = [_Verdict(one, [], limit) for one, limit in zip(conditions, timeouts, strict=True)]
        self._api = api
        self._timeout = max(timeouts, default=timeout)
        self._clock = clock
        self._receive = receive
        self._probe_timeout = probe_timeout
        self._started = clock()
        # The current reason of each unmet item and the time since when it is unchanged. Shows whether an item is stuck.
        self._since: dict[tuple[int, str], tuple[str, float]] = {}

    def look(self) -> dict[str, t.Any]:
        """Judge once, without waiting and without failing."""
        self._world.look(self._api, self._probe_timeout)
        ready = self._judge()
        return self._result(ready, Evidence(self._api) if self._api and not ready else None)

    def wait(self) -> dict[str, t.Any]:
        """Return when every condition holds. Raise NotReady at the deadline, or once a condition can never hold."""
        if self._timeout <= 0:
            self._world.look(self._api, self._probe_timeout)
        else:
            self._watchers.start(self._timeout)
        try:
            while not self._judge():
                left = self._left()
                hopeless = self._world.complete and any(i.status.terminal for v in self._verdicts for i in v.unmet)
                if left <= 0 or hopeless:
                    raise self._not_ready(hopeless)
                self._take(left)
        finally:
            self._watchers.stop()
        return self._result(True, None)

    def _left(self) -> float:
        """Return the seconds until the first condition that has never held times out, or until the deadline."""
        pending = [verdict.timeout for verdict in self._verdicts if not verdict.held]
        return min(pending, default=self._timeout) - self._elapsed()

    def _take(self, timeout: float) -> None:
        """Wait for an update, then apply all updates in the queue."""
        updates = self._watchers.updates
        try:
            self._receive(updates, timeout)()
            while True:
                updates.get_nowait()()
        except queue.Empty:
            return

    def _judge(self) -> bool:
        now = self._clock()
        for number, verdict in enumerate(self._verdicts):
            verdict.items = verdict.condition.judge(self._world)
            if verdict.unmet:
                verdict.ready_since = None
            elif verdict.ready_since is None:
                verdict.ready_since = now
                verdict.held = True
            for item in verdict.unmet:
                key = (number, str(item))
                if self._since.get(key, ("", 0.0))[0] != item.status.reason:
                    self._since[key] = (item.status.reason, now)
        return all(not verdict.unmet for verdict in self._verdicts)

    def _elapsed(self) -> float:
        return self._clock() - self._started

    def _result(self, ready: bool, evidence: Evidence | None) -> dict[str, t.Any]:
        conditions = []
        for number, verdict in enumerate(self._verdicts):
            until = self._clock() if verdict.ready_since is None else verdict.ready_since
            unmet = [self._unmet(number, item, evidence) for item in verdict.unmet]
            total = len(verdict.items)
            conditions.append(
                {
                    "type": verdict.condition.type,
                    "title": verdict.condition.title,
                    "ready": not unmet,
                    "reason": f"{total - len(unmet)} of {total} ready",
                    "elapsed": round(until - self._started, 1),
                    "unmet": unmet,
                }
            )
        return {"ready": ready, "elapsed": round(self._elapsed(), 1), "conditions": conditions}

    def _unmet(self, number: int, item: Item, evidence: Evidence | None) -> dict[str, t.Any]:
        details = evidence.explain(item.obj) if evidence and item.obj else []
        _reason, since = self._since[(number, str(item))]
        return {
            "kind": item.kind,
            "namespace": item.namespace,
            "name": item.name,
            "reason": item.status.reason,
            "details": [detail for detail in details if detail != item.status.reason],
            "unchanged_for": round(self._clock() - since, 1),
            "terminal": item.status.terminal,
        }

    def _not_ready(self, hopeless: bool) -> NotReady:
        evidence = Evidence(self._api) if self._api else None
        facts = self._result(False, evidence)
        failed = [
            (verdict, told) for verdict, told in zip(self._verdicts, facts["conditions"], strict=True) if verdict.unmet
        ]
        if hopeless:
            head = f"Stopped waiting after {facts['elapsed']:.0f} s, because an object can never become ready"
        else:
            head = f"Not ready after {facts['elapsed']:.0f} s"
        lines = [f"{head}: {len(failed)} of {len(self._verdicts)} conditions do not hold."]
        shown = 0
        for verdict, told in failed:
            if shown < _MOST_SHOWN:
                own = f", within {verdict.timeout:g} s" if verdict.timeout < self._timeout and not verdict.held else ""
                lines.append(f"{told['title']} ({told['reason']}{own}):")
            for item, data in zip(verdict.unmet, told["unmet"], strict=True):
                shown += 1
                if shown <= _MOST_SHOWN:
                    text = "; ".join([data["reason"], *data["details"]])
                    lines.append(f"  - {f'{item}: ' if str(item) else ''}{text} [for {data['unchanged_for']:.0f} s]")
        if shown > _MOST_SHOWN:
            lines.append(f"  and {shown - _MOST_SHOWN} more, see the returned data.")
        if evidence and evidence.problem:
            lines.append(f"Pods and events could not be read: {evidence.problem}")
        return NotReady("\n".join(lines), **facts)
