# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types and functions shared by the status rules of all kinds. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object


@dataclass(frozen=True)
class Status:
    """The status of one object. An object with a terminal status cannot become ready without manual action."""

    ready: bool
    reason: str
    terminal: bool = False


def ready(reason: str) -> Status:
    """Return the status of an object that has reached its spec."""
    return Status(True, reason)


def not_ready(reason: str, terminal: bool = False) -> Status:
    """Return the status of an object that has not reached its spec."""
    return Status(False, reason, terminal)


def conditions_of(obj: Object) -> dict[str, Mapping[str, t.Any]]:
    """Return the conditions of an object's status by type."""
    return {c["type"]: c for c in (obj.get("status") or {}).get("conditions") or [] if c.get("type")}


def describe_condition(condition: Mapping[str, t.Any]) -> str:
    """Describe a condition in one line: type, status, reason and message."""
    text = f"condition {condition.get('type')} is {condition.get('status')}"
    detail = ": ".join(str(condition[key]) for key in ("reason", "message") if condition.get(key))
    return f"{text} ({detail})" if detail else text


def require_conditions(obj: Object, *types: str) -> Status:
    """Return ready if all named conditions are True. Otherwise describe the first one that is not."""
    conditions = conditions_of(obj)
    for kind in types:
        if kind not in conditions:
            return not_ready(f"condition {kind} is not reported yet")
        if conditions[kind].get("status") != "True":
            return not_ready(describe_condition(conditions[kind]))
    return ready(", ".join(types))
