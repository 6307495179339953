# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""The public contract of a part, roles/PART/meta/part.yml: its keys, their types and their defaults."""

from __future__ import annotations

import typing as t

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

Contract = dict[str, t.Any]

STAGES = ("platform", "workloads")
# Targets of a connection that are not parts
TARGETS = ("api-server", "dns", "environments", "metrics")

_NAMES: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
_OFF: dict[str, t.Any] = {"type": "bool", "default": False}
_ON: dict[str, t.Any] = {"type": "bool", "default": True}
_NAME: dict[str, t.Any] = {"type": "str", "required": True}
_LISTS_OF_DICTS: dict[str, t.Any] = {"type": "list", "elements": "dict", "default": []}

# docs/parts.md explains each of them.
KEYS: dict[str, dict[str, t.Any]] = {
    "title": _NAME,
    "stage": {"type": "str", "choices": list(STAGES), "default": "platform"},
    "enabled": _ON,
    "requires": _NAMES,
    "after": _NAMES,
    "awaits": _NAMES,
    "entry_points": {
        "type": "dict",
        "default": {},
        "options": {name: {"type": "str"} for name in ("validate", "ready", "finish", "verify")},
    },
    "timeout": {"type": "int", "default": 300},
    "conditions": _LISTS_OF_DICTS,
    "answers": _LISTS_OF_DICTS,
    "metrics": _OFF,
    "namespaces": {
        **_LISTS_OF_DICTS,
        "options": {
            "name": _NAME,
            "bounded": _ON,
            "closed": _ON,
            "itself": _OFF,
            "nodes": _OFF,
            "own_policies": _OFF,
        },
    },
    "connects": {
        **_LISTS_OF_DICTS,
        "options": {
            "to": _NAME,
            "services": _NAMES,
            "pods": {"type": "str", "default": ""},
        },
    },
    "services": {
        **_LISTS_OF_DICTS,
        "options": {
            "name": _NAME,
            "namespace": {"type": "str"},
            "port": {"type": "int", "required": True},
            "target_port": {"type": "int"},
            "metrics": _OFF,
        },
    },
    "prefetch": _LISTS_OF_DICTS,
    "images": _LISTS_OF_DICTS,
    "files": _LISTS_OF_DICTS,
    "pins": {"type": "dict", "default": {}},
}


# Keys that are rendered together. Rendering takes time, and most callers need only some keys. The first topic is always
# rendered.
TOPICS: dict[str, tuple[str, ...]] = {
    "order": ("title", "stage", "enabled", "requires", "after", "awaits", "entry_points"),
    "readiness": ("timeout", "conditions", "answers"),
    "network": ("metrics", "namespaces", "connects", "services"),
    "images": ("prefetch", "images", "files", "pins"),
}


class InvalidContract(Exception):
    """A contract or the list of parts is invalid. The arguments are the problems, one line each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def complete(part: str, rendered: t.Mapping[str, t.Any], keys: t.Collection[str]) -> Contract:
    """Validate the rendered keys of a contract, and add the defaults of missing keys."""
    spec = {key: KEYS[key] for key in KEYS if key in keys}
    judged = ArgumentSpecValidator(spec).validate({key: value for key, value in rendered.items() if key in keys})
    if judged.error_messages:
        raise InvalidContract(f"roles/{part}/meta/part.yml: {'; '.join(judged.error_messages)}")
    contract: Contract = {"name": part, **judged.validated_parameters}
    for service in contract.get("services", []):
        service["target_port"] = service["target_port"] or service["port"]
        if not service["namespace"]:
            service["namespace"] = contract["namespaces"][0]["name"]
    for condition in contract.get("conditions", []):
        condition.setdefault("timeout", contract["timeout"])
    return contract


def check_keys(part: str, raw: object) -> dict[str, t.Any]:
    """Refuse a contract that is not a mapping or has unknown keys, before it is rendered."""
    if not isinstance(raw, dict):
        raise InvalidContract(f"roles/{part}/meta/part.yml contains a {type(raw).__name__}, expected a mapping")
    unknown = sorted(set(raw) - set(KEYS))
    if unknown:
        raise InvalidContract(
            f"roles/{part}/meta/part.yml has the unknown keys {', '.join(unknown)}. docs/parts.md lists the keys"
        )
    return raw
