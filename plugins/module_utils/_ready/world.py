# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The observed state of cluster_ready, and the threads that keep it up to date. PRIVATE to the collection.

Each source (a kind in one namespace or in all, or an HTTP check) has one thread, which puts updates into one queue.
Only the waiting thread reads the queue and changes the state.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ansible_collections.drystone.platform.plugins.module_utils._errors import ApiError, ApiUnavailable, UnknownKind
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import Status, not_ready
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object
from ansible_collections.drystone.platform.plugins.module_utils._kube.watch import Event
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import Condition, Want
from ansible_collections.drystone.platform.plugins.module_utils._ready.http_check import HttpCheck

Update = Callable[[], None]


@dataclass
class Source:
    """The objects of one kind in one namespace, or in all."""

    api_version: str
    kind: str
    namespace: str
    optional: bool
    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    problem: str = "the API server has not answered yet"
    answered: bool = False

    def take(self, event: Event) -> None:
        """Apply an event to the objects."""
        self.problem, self.answered = "", True
        if event.type == "SYNC":
            self.objects = {_key(obj): obj for obj in event.objects}
        elif event.type == "DELETED":
            self.objects.pop(_key(event.object), None)
        else:
            self.objects[_key(event.object)] = event.object

    def look(self, api: KubeApi) -> None:
        """Read the objects once."""
        try:
            listed = api.list(api.resource_for(self.api_version, self.kind), self.namespace or None)
            self.take(Event("SYNC", tuple(listed.items)))
        except (ApiError, ApiUnavailable, UnknownKind) as error:
            self.fail(error)

    def fail(self, error: ApiError | ApiUnavailable | UnknownKind) -> None:
        """Record that the objects cannot be read, and forget those that were read before."""
        self.answered = True
        self.objects = {}
        self.problem = "" if self.optional and isinstance(error, UnknownKind) else error.msg


class World:
    """The sources and checks of a set of conditions. One watch serves all conditions that need its kind."""

    def __init__(self, conditions: Iterable[Condition]) -> None:
        conditions = list(conditions)
        self.sources = _plan(want for condition in conditions for want in condition.wants)
        self.checks: dict[HttpCheck, Status | None] = {c.check: None for c in conditions if c.check}

    @property
    def complete(self) -> bool:
        """Whether every source and every check has reported at least once."""
        return all(source.answered for source in self.sources) and None not in self.checks.values()

    def select(self, want: Want) -> tuple[Sequence[Object], str]:
        """Return the objects that a condition wants, and a problem if reading them failed."""
        for source in self.sources:
            same = (source.api_version, source.kind) == (want.api_version, want.kind)
            if same and source.namespace in ("", want.namespace):
                # Cluster-scoped objects have no namespace, so the wanted namespace does not filter them.
                spaces = {"", want.namespace}
                found = [o for (space, _name), o in source.objects.items() if not want.namespace or space in spaces]
                return found, source.problem
        raise KeyError(want)

    def answer(self, check: HttpCheck) -> Status:
        """Return the last result of an HTTP check."""
        return self.checks[check] or not_ready("no request was sent yet")

    def look(self, api: KubeApi | None, timeout: float) -> None:
        """Read all sources and run all checks once."""
        if api:
            for source in self.sources:
                source.look(api)
        for check in self.checks:
            self.checks[check] = check.probe(timeout, api.transport if api else None)


class Watchers:
    """The watching threads. They end with the process, or soon after stop()."""

    def __init__(
        self, world: World, api: KubeApi | None, *, retry_after: float, probe_every: float, probe_timeout: float
    ) -> None:
        self.world = world
        self.api = api
        self.retry_after = retry_after
        self.probe_every = probe_every
        self.probe_timeout = probe_timeout
        self.updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self._stopped = threading.Event()

    def start(self, timeout: float) -> None:
        """Start to watch and to probe. The timeout limits how long the API server keeps a watch open."""
        if self.api:
            for source in self.world.sources:
                threading.Thread(target=self._watch, args=(self.api, source, timeout), daemon=True).start()
        for check in self.world.checks:
            threading.Thread(target=self._probe, args=(check,), daemon=True).start()

    def stop(self) -> None:
        """Tell the threads to end."""
        self._stopped.set()

    def _watch(self, api: KubeApi, source: Source, timeout: float) -> None:
        while not self._stopped.is_set():
            try:
                resource = api.resource_for(source.api_version, source.kind)
                for event in api.watch(resource, source.namespace or None, timeout=timeout):
                    if self._stopped.is_set():
                        return
                    self.updates.put(partial(source.take, event))
            except (ApiError, ApiUnavailable, UnknownKind) as error:
                self.updates.put(partial(source.fail, error))
                if source.optional and isinstance(error, UnknownKind):
                    return
                # A starting API server and a kind that does not exist yet cannot be watched. Try again later.
                self._stopped.wait(self.retry_after)

    def _probe(self, check: HttpCheck) -> None:
        while not self._stopped.is_set():
            status = check.probe(self.probe_timeout, self.api.transport if self.api else None)
            self.updates.put(partial(self.world.checks.update, {check: status}))
            self._stopped.wait(self.probe_every)


def _plan(wants: Iterable[Want]) -> list[Source]:
    """Return one source per kind: for the wanted namespace, or for all namespaces if several are wanted."""
    by_kind: dict[tuple[str, str], list[Want]] = {}
    for want in wants:
        by_kind.setdefault((want.api_version, want.kind), []).append(want)
    sources = []
    for (api_version, kind), same in by_kind.items():
        spaces = {want.namespace for want in same}
        space = spaces.pop() if len(spaces) == 1 else ""
        sources.append(Source(api_version, kind, space, optional=all(want.optional for want in same)))
    return sources


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj["metadata"]
    return (metadata.get("namespace") or "", metadata["name"])
