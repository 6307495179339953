# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of acceptance_check. PRIVATE to the collection."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._ready.argspec import CONDITIONS

Spec = dict[str, dict[str, t.Any]]

_TEXT: dict[str, t.Any] = {"type": "str"}
_NEEDED: dict[str, t.Any] = {"type": "str", "required": True}
_TEXTS: dict[str, t.Any] = {"type": "list", "elements": "str"}
_SOME: dict[str, t.Any] = {**_TEXTS, "default": []}

_CONDITIONS: dict[str, t.Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        **{name: {"type": "dict", "options": own} for name, own in CONDITIONS.items()},
        "timeout": {"type": "int"},
    },
}

# Each command is a list of arguments.
_COMMANDS: dict[str, t.Any] = {"type": "list", "elements": "list", "default": []}

# The kinds of steps and their options.
STEPS: dict[str, dict[str, t.Any]] = {
    "conditions": _CONDITIONS,
    "objects": {
        "type": "dict",
        "options": {
            "api_version": {"type": "str", "default": "v1"},
            "kind": _NEEDED,
            "namespaces": _SOME,
            "name": {"type": "str", "default": ""},
            "selector": {"type": "str", "default": ""},
            "show": _TEXT,
            "expect": _TEXT,
        },
    },
    "command": {
        "type": "dict",
        "options": {
            "argv": {**_TEXTS, "required": True},
            "directory": {"type": "path"},
            "exit_code": {"type": "int", "default": 0},
            "output": _TEXT,
            "undo": {**_TEXTS, "default": []},
        },
    },
    "files": {
        "type": "dict",
        "options": {
            "directory": {"type": "path", "required": True},
            "paths": {**_TEXTS, "required": True},
            "contain": _TEXT,
        },
    },
    "query": {
        "type": "dict",
        "options": {
            "promql": _NEEDED,
            "expect": _TEXT,
            "minutes": {"type": "int", "default": 0},
            "unit": {"type": "str", "default": ""},
        },
    },
    "push": {
        "type": "dict",
        "options": {
            "repository": _NEEDED,
            "path": _NEEDED,
            "line": {"type": "str", "default": ""},
            "subject": {"type": "str", "default": "Remove what an interrupted acceptance test left"},
        },
    },
    "traffic": {
        "type": "dict",
        "options": {
            "targets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": _NEEDED,
                    "url": _NEEDED,
                    "headers": {"type": "dict", "default": {}},
                    # These are names of Secrets and keys, not their values.
                    "secret_headers": {**CONDITIONS["http"]["secret_headers"], "default": []},
                },
            },
            "rate": {"type": "int", "default": 20},
            "during": _COMMANDS,
            "until": {**_CONDITIONS, "required": True},
            "afterwards": _COMMANDS,
            "most_failed": {"type": "int", "default": 0},
        },
    },
    "picture": {"type": "dict", "options": {"url": _NEEDED}},
}


def argument_spec() -> Spec:
    """Return the options of the module except those of the connection to a cluster."""
    step = {
        "say": _NEEDED,
        "needs": _SOME,
        "instead": _TEXT,
        "gate": {"type": "bool", "default": False},
        "timeout": {"type": "int", "default": 0},
    }
    return {
        "rows": {
            "type": "list",
            "elements": "dict",
            "required": True,
            "options": {
                "id": _NEEDED,
                "title": _NEEDED,
                "needs": _SOME,
                "slow": {"type": "bool", "default": False},
                "restored": {**_CONDITIONS, "default": []},
                "steps": {
                    "type": "list",
                    "elements": "dict",
                    "required": True,
                    "options": {**step, **STEPS},
                    "mutually_exclusive": [tuple(STEPS)],
                    "required_one_of": [tuple(STEPS)],
                },
            },
        },
        "available": _SOME,
        "slow": {"type": "bool", "default": False},
        "tools": _SOME,
        "prometheus": {"type": "str", "default": ""},
        "private_key": {"type": "path"},
        "known_hosts": {"type": "path"},
        "pictures": {"type": "path"},
        "patience": {"type": "int", "default": 0},
        "parallel": {"type": "int", "default": 4},
    }
