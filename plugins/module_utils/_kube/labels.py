# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The label of Drystone's objects, and label selectors, evaluated locally so that they can share a watch. PRIVATE."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput

# Marks objects that Drystone created and may change or delete.
MANAGED_BY = ("app.kubernetes.io/managed-by", "drystone")
_KEY = r"[A-Za-z0-9][-A-Za-z0-9_./]*"
_SET = re.compile(rf"^({_KEY})\s+(in|notin)\s*\(([^()]*)\)$")
_EQUAL = re.compile(rf"^({_KEY})\s*(==|=|!=)\s*([-A-Za-z0-9_.]*)$")
_PRESENT = re.compile(rf"^(!?)\s*({_KEY})$")


@dataclass(frozen=True)
class Requirement:
    """One requirement on one label."""

    key: str
    operator: t.Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether the labels meet it. As in Kubernetes, NotIn also holds if the label is missing."""
        if self.operator == "Exists":
            return self.key in labels
        if self.operator == "DoesNotExist":
            return self.key not in labels
        return (labels.get(self.key) in self.values) == (self.operator == "In")


@dataclass(frozen=True)
class Selector:
    """All requirements of a selector; an empty selector matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, obj: Mapping[str, t.Any]) -> bool:
        """Return whether the labels of an object meet every requirement."""
        labels = (obj.get("metadata") or {}).get("labels") or {}
        return all(requirement.matches(labels) for requirement in self.requirements)


def parse_selector(text: str) -> Selector:
    """Parse a selector in kubectl's format: a=b, a!=b, a in (b,c), a notin (b,c), a, !a."""
    parts = [part.strip() for part in re.split(r",(?![^()]*\))", text)] if text.strip() else []
    return Selector(tuple(_requirement(part, text) for part in parts))


def selector_of(spec: Mapping[str, t.Any] | None) -> Selector:
    """Read the selector of an object: matchLabels and matchExpressions."""
    spec = spec or {}
    equal = [Requirement(key, "In", (value,)) for key, value in (spec.get("matchLabels") or {}).items()]
    other = [
        Requirement(item["key"], item["operator"], tuple(item.get("values") or ()))
        for item in spec.get("matchExpressions") or []
    ]
    return Selector((*equal, *other))


def _requirement(part: str, text: str) -> Requirement:
    found = _SET.match(part)
    if found:
        values = tuple(value.strip() for value in found[3].split(","))
        return Requirement(found[1], "In" if found[2] == "in" else "NotIn", values)
    found = _EQUAL.match(part)
    if found:
        return Requirement(found[1], "NotIn" if found[2] == "!=" else "In", (found[3],))
    found = _PRESENT.match(part)
    if found:
        return Requirement(found[2], "DoesNotExist" if found[1] else "Exists")
    raise InvalidInput(
        f"The selector {text!r} is invalid at {part!r}. Use requirements such as app=web, tier!=test, "
        "app in (a,b), app notin (a,b), app or !app, separated by commas.",
        selector=text,
    )
