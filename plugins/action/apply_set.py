# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin of all modules that meta/runtime.yml redirects here.

It is named after one of them because ansible-test requires a documented module for each action plugin.
"""

from __future__ import annotations

from ansible_collections.drystone.platform.plugins.plugin_utils._fork_action import ForkAction


class ActionModule(ForkAction):
    """Run the task's module. Its documentation applies."""
