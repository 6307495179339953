# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Return the names of the deployed parts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: deployed_parts
short_description: Return the names of the deployed parts
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns the names in C(drystone_parts), except parts that C(--skip-tags) excludes and parts whose contract switches
    them off.
  - Reads only C(drystone_parts) and C(enabled) of the contracts. Defaults of roles and contracts may therefore use it.
options:
  roles_path:
    description: The directory with the roles. The default is the directory of this collection.
    type: path
seealso:
  - plugin: drystone.platform.parts
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Show whether the cluster has a Git server
  ansible.builtin.debug:
    msg: "{{ 'git_server' in query('drystone.platform.deployed_parts') }}"

- name: Count the parts
  ansible.builtin.debug:
    msg: "{{ query('drystone.platform.deployed_parts') | length }} parts are deployed."

- name: Require monitoring
  ansible.builtin.assert:
    that: "'kube_prometheus_stack' in query('drystone.platform.deployed_parts')"
"""

RETURN = r"""
_raw:
  description: The names, in the order of C(drystone_parts).
  type: list
  elements: str
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import InvalidContract
from ansible_collections.drystone.platform.plugins.plugin_utils._part_reader import PartReader
from ansible_collections.drystone.platform.plugins.plugin_utils._role_files import ROLES


class LookupModule(LookupBase):
    """Look up the names of the deployed parts."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Return the names."""
        self.set_options(var_options=variables, direct=kwargs)
        if terms:
            raise AnsibleError("deployed_parts takes no terms")
        roles = Path(self.get_option("roles_path") or ROLES)
        try:
            return PartReader(self._loader, self._templar, variables or {}, roles).choice.deployed
        except InvalidContract as error:
            raise AnsibleError(f"drystone_parts: {error}") from error
