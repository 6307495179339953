# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that several modules of the collection share. PRIVATE to the collection.

The doc fragments _kube and _git_remote document them.
"""

from __future__ import annotations

import typing as t


def kube_argspec() -> dict[str, dict[str, t.Any]]:
    """Return the options that connect to a cluster, documented in the fragment drystone.platform._kube."""
    return {
        "kubeconfig": {"type": "path", "required": True},
        "context": {"type": "str"},
    }


def git_argspec() -> dict[str, dict[str, t.Any]]:
    """Return the options that connect to a Git repository, documented in drystone.platform._git_remote."""
    return {
        "repository": {"type": "str", "required": True},
        "branch": {"type": "str", "default": "main"},
        "private_key": {"type": "path"},
        "known_hosts": {"type": "path"},
        "timeout": {"type": "int", "default": 60},
        "connect_timeout": {"type": "int", "default": 30},
    }
