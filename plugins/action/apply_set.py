# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action of all modules that meta/runtime.yml routes here.

It has the name of one of them because ansible-test wants a module, and its documentation, behind each action plugin.
"""

from __future__ import annotations

from ansible_collections.drystone.platform.plugins.plugin_utils._fork_action import ForkAction


class ActionModule(ForkAction):
    """See the documentation of the module that is run."""
