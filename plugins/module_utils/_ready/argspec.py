# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of cluster_ready with their defaults. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

Spec = dict[str, dict[str, t.Any]]

WORKLOAD_KINDS = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "ReplicaSet": "apps/v1",
    "Job": "batch/v1",
    "Pod": "v1",
    "Rollout": "argoproj.io/v1alpha1",
}

_TEXT: dict[str, t.Any] = {"type": "str"}
_NEEDED: dict[str, t.Any] = {"type": "str", "required": True}
_TEXTS: dict[str, t.Any] = {"type": "list", "elements": "str"}
_NEEDED_TEXTS: dict[str, t.Any] = {**_TEXTS, "required": True}
_KINDS: dict[str, t.Any] = {**_TEXTS, "choices": list(WORKLOAD_KINDS)}

# The types of conditions and their options.
CONDITIONS: dict[str, Spec] = {
    "workloads": {
        "namespaces": _NEEDED_TEXTS,
        "names": _TEXTS,
        "allow_empty": {"type": "bool", "default": False},
        "selector": _TEXT,
        "kinds": _KINDS,
    },
    "nodes": {"count": {"type": "int", "default": 1}, "selector": _TEXT},
    "crds": {"names": _NEEDED_TEXTS},
    "apiservices": {"names": _NEEDED_TEXTS},
    "applications": {
        "namespace": {"type": "str", "default": "argocd"},
        "names": _TEXTS,
        "selector": _TEXT,
        "revision": _TEXT,
    },
    "http": {
        "url": _NEEDED,
        "status": {"type": "int", "default": 200},
        "body": _TEXT,
        "expression": _TEXT,
        "headers": {"type": "dict"},
        "bearer_token": {"type": "str", "no_log": True},
        # These are names of Secrets and keys, not their values.
        "secret_headers": {
            "type": "list",
            "elements": "dict",
            "no_log": False,
            "options": {
                "header": _NEEDED,
                "namespace": _NEEDED,
                "name": _NEEDED,
                "key": {**_NEEDED, "no_log": False},
            },
        },
        "ca_path": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
    },
    "resources": {
        "api_version": _NEEDED,
        "kind": _NEEDED,
        "namespace": _TEXT,
        "names": _TEXTS,
        "selector": _TEXT,
        "expression": _TEXT,
    },
}


def argument_spec() -> Spec:
    """Return the options of the module except those of the connection to a cluster."""
    conditions = {name: {"type": "dict", "options": options} for name, options in CONDITIONS.items()}
    return {
        "timeout": {"type": "int", "default": 300},
        "conditions": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {**conditions, "timeout": {"type": "int"}},
            "mutually_exclusive": [tuple(conditions)],
            "required_one_of": [tuple(conditions)],
        },
    }


def with_defaults(condition: str, given: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the options of a condition with defaults, like the options of a task."""
    options = {name: option.get("default") for name, option in CONDITIONS[condition].items()}
    return options | {name: value for name, value in given.items() if value is not None}
