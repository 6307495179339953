# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options shared by the modules of the collection. PRIVATE to the collection.

Their documentation is in the doc fragments of the same names.
"""

from __future__ import annotations

import typing as t


def kube_argspec() -> dict[str, dict[str, t.Any]]:
    """Say how to reach a cluster; documented by the fragment drystone.platform._kube."""
    return {
        "kubeconfig": {"type": "path", "required": True},
        "context": {"type": "str"},
    }


def git_argspec() -> dict[str, dict[str, t.Any]]:
    """Say how to reach a Git repository; documented by the fragment drystone.platform._git_remote."""
    return {
        "repository": {"type": "str", "required": True},
        "branch": {"type": "str", "default": "main"},
        "private_key": {"type": "path"},
        "known_hosts": {"type": "path"},
        "timeout": {"type": "int", "default": 60},
        "connect_timeout": {"type": "int", "default": 30},
    }
