# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The condition types of cluster_ready: the objects each one watches and how it judges them.

PRIVATE to the collection.
"""

from __future__ import annotations

import typing as t
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.argo import application_status
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import Status, not_ready
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.rules import premature, status_of
from ansible_collections.drystone.platform.plugins.module_utils._kube.labels import Selector, parse_selector
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object
from ansible_collections.drystone.platform.plugins.module_utils._ready.argspec import WORKLOAD_KINDS, with_defaults
from ansible_collections.drystone.platform.plugins.module_utils._ready.expression import Expression
from ansible_collections.drystone.platform.plugins.module_utils._ready.http_check import HttpCheck

Options = Mapping[str, t.Any]


@dataclass(frozen=True)
class Want:
    """The objects that a condition watches: one kind in one namespace, or in all if the namespace is empty.

    An optional kind need not exist on the API server.
    """

    api_version: str
    kind: str
    namespace: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Item:
    """The status of one object. An item without a name stands for objects that are missing."""

    status: Status
    kind: str = ""
    namespace: str = ""
    name: str = ""
    obj: Object | None = None

    def __str__(self) -> str:
        if self.namespace and not self.name:
            return f"{self.kind} in {self.namespace}"
        return " ".join(part for part in (self.kind, "/".join(filter(None, (self.namespace, self.name)))) if part)


class View(t.Protocol):
    """The observed state of the cluster and of HTTP endpoints at one moment."""

    def select(self, want: Want) -> tuple[Sequence[Object], str]:
        """Return the objects, and a problem if reading them failed."""

    def answer(self, check: HttpCheck) -> Status:
        """Return the last result of an HTTP check."""


@dataclass(frozen=True)
class Condition:
    """One condition: the objects that it watches, and the function that judges them."""

    type: str
    title: str
    judge: Callable[[View], list[Item]]
    wants: tuple[Want, ...] = ()
    check: HttpCheck | None = None
    # The condition must hold once within this number of seconds. None: within the timeout of the whole wait.
    timeout: float | None = None

    @property
    def of_cluster(self) -> bool:
        """Whether the condition needs the API server."""
        return bool(self.wants) or (self.check is not None and self.check.of_cluster)


def build_conditions(conditions: Iterable[Options]) -> list[Condition]:
    """Build conditions from the module's option, and refuse invalid ones."""
    built = []
    for number, given in enumerate(conditions, start=1):
        chosen = [name for name in _BUILDERS if given.get(name) is not None]
        if len(chosen) != 1:
            raise InvalidInput(f"Condition {number} needs exactly one of {', '.join(_BUILDERS)}.")
        try:
            options = with_defaults(chosen[0], given[chosen[0]])
            built.append(replace(_BUILDERS[chosen[0]](options), timeout=given.get("timeout")))
        except InvalidInput as error:
            raise InvalidInput(f"Condition {number} ({chosen[0]}): {error.msg}", **error.facts) from error
    if not built:
        raise InvalidInput("conditions is empty. Give at least one condition to wait for.")
    return built


def _workloads(options: Options) -> Condition:
    namespaces, names = options["namespaces"], options["names"] or []
    kinds = options["kinds"] or list(WORKLOAD_KINDS)
    # The kind Rollout must exist if the user names it. Without a list of kinds it may be missing.
    optional = {"Rollout"} - set(options["kinds"] or [])
    selector = parse_selector(options.get("selector") or "")
    if not namespaces:
        raise InvalidInput("namespaces is empty.")
    wants = [Want(WORKLOAD_KINDS[kind], kind, space, kind in optional) for space in namespaces for kind in kinds]

    def judge(view: View) -> list[Item]:
        found: dict[str, list[Object]] = {space: [] for space in namespaces}
        problems = {}
        for want in wants:
            objects, problem = view.select(want)
            found[want.namespace] += [obj for obj in objects if names or not _is_part_of(obj, kinds)]
            if problem:
                problems[problem] = Item(not_ready(problem))
        if problems:
            return list(problems.values())
        kind = kinds[0] if len(kinds) == 1 else "workload"
        return [
            item
            for space in namespaces
            for item in _pick(found[space], kind, space, names, selector, options, status_of)
        ]

    return Condition("workloads", _title("workloads", options), judge, tuple(wants))


def _nodes(options: Options) -> Condition:
    count = options["count"]
    if count < 1:
        raise InvalidInput(f"count is {count}. A cluster without a node is never ready; give 1 or more.")
    want, selector = Want("v1", "Node"), parse_selector(options.get("selector") or "")

    def judge(view: View) -> list[Item]:
        objects, problem = view.select(want)
        if problem:
            return [Item(not_ready(problem))]
        items = [_item(obj, status_of(obj)) for obj in objects if selector.matches(obj)]
        if len(items) < count:
            matching = f" match {options['selector']}" if options.get("selector") else " have joined"
            items.append(Item(not_ready(f"{len(items)} of {count} nodes{matching}"), "Node"))
        return items

    return Condition("nodes", _title("1 node" if count == 1 else f"{count} nodes", options), judge, (want,))


def _crds(options: Options) -> Condition:
    want = Want("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    return _objects("crds", "crds", want, options, status_of)


def _apiservices(options: Options) -> Condition:
    return _objects("apiservices", "apiservices", Want("apiregistration.k8s.io/v1", "APIService"), options, status_of)


def _applications(options: Options) -> Condition:
    revision = (options["revision"] or "").strip()
    if revision and len(revision) < 7:
        raise InvalidInput(f"revision {revision!r} is too short to identify a commit. Give at least 7 characters.")

    def rule(obj: Object) -> Status:
        return premature(obj) or application_status(obj, revision)

    want = Want("argoproj.io/v1alpha1", "Application", options["namespace"])
    title = f"applications at {revision[:12]}" if revision else "applications"
    return _objects("applications", title, want, options, rule)


def _resources(options: Options) -> Condition:
    expression = Expression(options["expression"]) if options["expression"] else None

    def rule(obj: Object) -> Status:
        if expression is None:
            return status_of(obj)
        # Never print the value of an expression over a Secret: it may be confidential.
        return premature(obj) or expression.judge(obj, show=obj.get("kind") != "Secret")

    want = Want(options["api_version"], options["kind"], options["namespace"] or "")
    return _objects("resources", options["kind"], want, options, rule)


def _http(options: Options) -> Condition:
    check = HttpCheck.from_options(options)

    def judge(view: View) -> list[Item]:
        return [Item(view.answer(check), "URL", "", check.name)]

    return Condition("http", f"http {check.name}", judge, check=check)


def _objects(kind: str, title: str, want: Want, options: Options, rule: Callable[[Object], Status]) -> Condition:
    names, selector = options.get("names") or [], parse_selector(options.get("selector") or "")
    if "names" in options and "selector" not in options and not names:
        raise InvalidInput("names is empty.")

    def judge(view: View) -> list[Item]:
        objects, problem = view.select(want)
        if problem:
            return [Item(not_ready(problem))]
        return _pick(objects, want.kind, want.namespace, names, selector, options, rule)

    return Condition(kind, _title(title, options), judge, (want,))


def _pick(
    objects: Iterable[Object],
    kind: str,
    namespace: str,
    names: Sequence[str],
    selector: Selector,
    options: Options,
    rule: Callable[[Object], Status],
) -> list[Item]:
    """Judge the selected objects. Report each missing object as not ready."""
    chosen = [obj for obj in objects if selector.matches(obj) and (not names or obj["metadata"]["name"] in names)]
    items = [_item(obj, rule(obj)) for obj in sorted(chosen, key=lambda obj: (obj["kind"], obj["metadata"]["name"]))]
    present = {obj["metadata"]["name"] for obj in chosen}
    matching = f" that matches {options['selector']}" if options.get("selector") else ""
    missing = f"no object with this name{matching} exists"
    items += [Item(not_ready(missing), kind, namespace, name) for name in names if name not in present]
    if not items and not options.get("allow_empty"):
        items.append(Item(not_ready(f"no {kind}{matching} exists"), kind, namespace))
    return items


def _item(obj: Object, status: Status) -> Item:
    metadata = obj["metadata"]
    return Item(status, obj["kind"], metadata.get("namespace") or "", metadata["name"], obj)


def _is_part_of(obj: Object, kinds: Sequence[str]) -> bool:
    """Whether a workload that is judged as a whole, or a CronJob, controls the object."""
    owners = obj["metadata"].get("ownerReferences") or []
    return any(owner.get("controller") and owner["kind"] in (*kinds, "CronJob") for owner in owners)


def _title(what: str, options: Options) -> str:
    spaces = options.get("namespaces") or [space for space in [options.get("namespace")] if space]
    parts = [what]
    if options.get("names"):
        parts.append(", ".join(options["names"]))
    if options.get("selector"):
        parts.append(f"with {options['selector']}")
    if spaces:
        parts.append(f"in {', '.join(spaces)}")
    return " ".join(parts)


_BUILDERS: dict[str, Callable[[Options], Condition]] = {
    "workloads": _workloads,
    "nodes": _nodes,
    "crds": _crds,
    "apiservices": _apiservices,
    "applications": _applications,
    "http": _http,
    "resources": _resources,
}
