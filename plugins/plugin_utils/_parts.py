# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Decide which parts are deployed, in which order, and which parts connect to each other."""

from __future__ import annotations

import difflib
import typing as t
from dataclasses import dataclass, field

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import TARGETS, Contract, InvalidContract

ORDERING = ("requires", "after", "awaits")


@dataclass(frozen=True)
class Choice:
    """The user's choice: the list of parts and the tags of this run."""

    listed: t.Sequence[str]
    run_tags: t.Collection[str] = ()
    skip_tags: t.Collection[str] = ()
    off: t.Collection[str] = field(default_factory=tuple)

    @property
    def deployed(self) -> list[str]:
        """The deployed parts, in the order of the list."""
        return [name for name in self.listed if name not in self.skip_tags and name not in self.off]

    def tagged(self, name: str) -> bool:
        """Return whether the tags of this run include a part."""
        return not self.run_tags or "all" in self.run_tags or name in self.run_tags

    def why_not(self, name: str) -> str:
        """Return why a part is not deployed."""
        if name in self.skip_tags:
            return "which --skip-tags excludes"
        if name in self.off:
            return f"which is switched off (see the key enabled in roles/{name}/meta/part.yml)"
        return "which drystone_parts does not list"


def check_names(choice: Choice, known: t.Collection[str]) -> None:
    """Refuse a list with unknown or repeated names."""
    problems = []
    for name in sorted(set(choice.listed) - set(known)):
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the parts are {', '.join(sorted(known))}"
        problems.append(f"part {name} does not exist; {hint}")
    problems += [f"{name} is listed twice" for name in sorted(set(choice.listed)) if choice.listed.count(name) > 1]
    if problems:
        raise InvalidContract(*problems)


def check_requirements(choice: Choice, requires: t.Mapping[str, t.Sequence[str]]) -> None:
    """Refuse a part if another part that it requires is not deployed."""
    deployed = choice.deployed
    lines = [
        f"{name} requires {needed}, {choice.why_not(needed)}. Deploy {needed}, or remove {name} as well"
        for name in deployed
        for needed in requires.get(name, [])
        if needed not in deployed
    ]
    if lines:
        raise InvalidContract(*lines)


def in_order(names: t.Sequence[str], before: t.Mapping[str, t.Collection[str]]) -> list[str]:
    """Return the names in the given order, but each part after the parts that must precede it."""
    left, done = list(names), []
    while left:
        ready = next((name for name in left if not any(other in left for other in before.get(name, ()))), None)
        if ready is None:
            raise InvalidContract(
                f"The parts {', '.join(left)} depend on each other. Check {', '.join(ORDERING)} in their contracts."
            )
        left.remove(ready)
        done.append(ready)
    return done


def with_requirements(names: t.Iterable[str], requires: t.Mapping[str, t.Sequence[str]]) -> set[str]:
    """Return the parts and all parts that they require, directly or indirectly."""
    found: set[str] = set()
    open_names = list(names)
    while open_names:
        name = open_names.pop()
        if name not in found:
            found.add(name)
            open_names += requires.get(name, [])
    return found


def connect(parts: t.Sequence[Contract]) -> None:
    """Resolve the connections of each part to namespaces and ports, and add the clients to each target.

    Remove targets that are not deployed. Add to each service the names of the parts that may connect to it.
    """
    by_name = {part["name"]: part for part in parts}
    for part in parts:
        part["clients"] = []
        for service in part["services"]:
            itself = any(one["itself"] for one in part["namespaces"] if one["name"] == service["namespace"])
            service["clients"] = [part["name"]] if itself else []
    for part in parts:
        resolved = []
        for given in part["connects"]:
            if given["to"] == "metrics":
                scraped = [other for other in parts if other["metrics"] and other is not part]
                resolved += [_connection(part, given, other, metrics=True) for other in scraped]
            elif given["to"] in by_name:
                resolved.append(_connection(part, given, by_name[given["to"]], metrics=False))
            elif given["to"] in TARGETS:
                resolved.append({**given, "namespaces": [], "ports": [], "metrics": False})
        part["connects"] = resolved


def _connection(source: Contract, given: t.Mapping[str, t.Any], target: Contract, *, metrics: bool) -> dict[str, t.Any]:
    """Resolve one connection between two parts, and add the client to the target."""
    known = {service["name"] for service in target["services"]}
    unknown = sorted(set(given["services"]) - known)
    if unknown:
        raise InvalidContract(
            f"roles/{source['name']}/meta/part.yml connects to the unknown service {', '.join(unknown)} of "
            f"{target['name']}. Its contract has the services {', '.join(sorted(known)) or 'none'}"
        )
    ports = sorted({one["target_port"] for one in target["services"] if one["name"] in given["services"]})
    common = {"services": list(given["services"]), "ports": ports, "metrics": metrics, "pods": given["pods"]}
    target["clients"].append({"part": source["name"], "namespaces": _names(source), **common})
    everything = not given["services"] and not any(one["own_policies"] for one in target["namespaces"])
    for service in target["services"]:
        if service["name"] in given["services"] or everything or (metrics and service["metrics"]):
            service["clients"].append(source["name"])
    return {"to": target["name"], "namespaces": _names(target), **common}


def _names(part: Contract) -> list[str]:
    return [namespace["name"] for namespace in part["namespaces"] if namespace["bounded"]]


def steps(parts: t.Sequence[Contract]) -> list[dict[str, str]]:
    """Return the entry points of all parts in the order in which they run.

    Apply the parts one after the other without waiting for them. Wait only for a part that another part awaits, right
    before that other part is applied. Run C(finish) when all parts are applied.
    """
    plan: list[dict[str, str]] = []
    settled: set[str] = set()
    by_name = {part["name"]: part for part in parts}

    def add(part: Contract, entry_point: str) -> None:
        plan.append({"part": part["name"], "title": part["title"], "entry_point": entry_point})

    def settle(part: Contract) -> None:
        if part["name"] not in settled:
            settled.add(part["name"])
            add(part, "wait")
            if part["entry_points"].get("ready"):
                add(part, part["entry_points"]["ready"])

    for part in parts:
        for awaited in part["awaits"]:
            if awaited in by_name:
                settle(by_name[awaited])
        add(part, "apply")
    for part in parts:
        if part["entry_points"].get("ready"):
            settle(part)
    for part in parts:
        if part["entry_points"].get("finish"):
            add(part, part["entry_points"]["finish"])
    return plan
