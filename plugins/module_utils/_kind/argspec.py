# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: it may change without notice.
"""The options of the module kind_cluster, which documents them."""

from __future__ import annotations

import typing as t

from ansible_collections.drystone.platform.plugins.module_utils._kind.outcome import Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.spec import CONTROL_PLANE, TAINT_EFFECTS, WORKER


def argument_spec() -> dict[str, dict[str, t.Any]]:
    """Return the options. The documentation of the module describes them."""
    needed: dict[str, t.Any] = {"type": "str", "required": True}
    port: dict[str, t.Any] = {"type": "int", "required": True}

    def dicts(options: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        return {"type": "list", "elements": "dict", "options": options, **more}

    taint = {
        "key": {**needed, "no_log": False},
        "value": {"type": "str", "default": ""},
        "effect": {**needed, "choices": list(TAINT_EFFECTS)},
    }
    node = {
        "role": {**needed, "choices": [CONTROL_PLANE, WORKER]},
        "labels": {"type": "dict", "default": {}},
        "taints": dicts(taint, default=[]),
    }
    mapping = {
        "container_port": port,
        "host_port": port,
        "protocol": {"type": "str", "choices": ["TCP", "UDP", "SCTP"], "default": "TCP"},
    }
    mount = {
        "host_path": {"type": "path", "required": True},
        "container_path": needed,
        "read_only": {"type": "bool", "default": False},
        "files": {"type": "dict", "default": {}},
    }
    image = {
        "reference": needed,
        "nodes": {"type": "str", "choices": ["all", CONTROL_PLANE, WORKER], "default": WORKER},
        "labels": {"type": "dict", "default": {}},
    }
    return {
        "name": needed,
        "state": {"type": "str", "choices": ["present", "absent", "network", "started"], "default": "present"},
        "image": {"type": "str"},
        "nodes": dicts(node),
        "network": {"type": "str"},
        "api_port": {"type": "int"},
        "port_mappings": dicts(mapping, default=[]),
        "mounts": dicts(mount, default=[]),
        "kubeconfig": {"type": "path", "required": True},
        "state_dir": {"type": "path", "required": True},
        "kind_binary": {"type": "str", "default": "kind"},
        "kubeadm_config_patches": {"type": "list", "elements": "dict", "default": []},
        "containerd_config_patches": {"type": "list", "elements": "str", "default": []},
        "prefetch": dicts(image, default=[]),
        "recreate": {"type": "bool", "default": False},
        "create_timeout": {"type": "int", "default": Settings.create_timeout},
        "api_timeout": {"type": "int", "default": Settings.api_timeout},
        "lock_timeout": {"type": "int", "default": Settings.lock_timeout},
        "prefetch_timeout": {"type": "int", "default": Settings.prefetch_timeout},
    }
