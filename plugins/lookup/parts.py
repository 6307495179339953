# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the public contracts of the parts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: parts
short_description: Read the public contracts of the parts
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Reads C(roles/PART/meta/part.yml) of the deployed parts and renders it with the variables of the host over the
    defaults of all roles.
  - Returns the contracts in the order in which the parts are applied.
  - The order is that of C(drystone_parts), except that a part always comes after the parts on which it depends.
  - A part is not deployed if C(drystone_parts) does not list it, if C(--skip-tags) names it, or if its contract
    switches it off.
  - Fails if a part is unknown, if a required part is not deployed, or if a contract violates its schema.
options:
  _terms:
    description: The names of parts. The lookup returns those of them that are deployed. Without names it returns all
      deployed parts.
    type: list
    elements: str
  tagged:
    description: Whether to return only the parts that the C(--tags) of this run include.
    type: bool
    default: false
  stage:
    description: Whether to return only the parts of one stage.
    type: str
    choices: [platform, workloads]
  requirements:
    description: Whether to return the parts that the named parts require, directly or indirectly, instead of the named
      parts.
    type: bool
    default: false
  topics:
    description:
      - The topics to read in addition to names, titles, stages and the keys that determine the order.
      - V(readiness) is C(timeout), C(conditions) and C(answers). V(network) is C(metrics), C(namespaces), C(connects)
        and C(services). V(images) is C(prefetch), C(images), C(files) and C(pins).
    type: list
    elements: str
    choices: [readiness, network, images]
    default: [readiness, network, images]
  everything:
    description: Whether to return all parts, deployed or not. Connections are not resolved then.
    type: bool
    default: false
  roles_path:
    description: The directory with the roles. The default is the directory of this collection.
    type: path
seealso:
  - plugin: drystone.platform.deployed_parts
    plugin_type: lookup
  - plugin: drystone.platform.part_steps
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Show the order in which the parts are applied
  ansible.builtin.debug:
    msg: "{{ query('drystone.platform.parts', topics=[]) | map(attribute='title') | join(', ') }}"

- name: Wait for Argo CD
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions: "{{ query('drystone.platform.parts', 'argocd', topics=['readiness'])[0].conditions }}"

- name: Show the parts that the workloads require
  ansible.builtin.debug:
    msg: "{{ query('drystone.platform.parts', 'workloads', requirements=true) | map(attribute='name') }}"
"""

RETURN = r"""
_raw:
  description:
    - The contracts. docs/parts.md explains each key.
    - In addition C(name) is the name of the part, C(clients) are the parts that connect to it, and C(clients) of a
      service names the parts that may connect to that service.
  type: list
  elements: dict
"""

import typing as t
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.drystone.platform.plugins.plugin_utils._part_contract import Contract, InvalidContract
from ansible_collections.drystone.platform.plugins.plugin_utils._part_reader import PartReader
from ansible_collections.drystone.platform.plugins.plugin_utils._role_files import ROLES


class LookupModule(LookupBase):
    """Look up contracts of parts."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[Contract]:
        """Return the requested contracts."""
        self.set_options(var_options=variables, direct=kwargs)
        roles = Path(self.get_option("roles_path") or ROLES)
        try:
            reader = PartReader(self._loader, self._templar, variables or {}, roles)
            return self._chosen(reader, {str(term) for term in terms})
        except InvalidContract as error:
            raise AnsibleError(f"drystone_parts: {error}") from error

    def _chosen(self, reader: PartReader, names: set[str]) -> list[Contract]:
        topics = self.get_option("topics")
        parts = reader.all(names, topics) if self.get_option("everything") else reader.deployed(topics)
        if self.get_option("requirements"):
            names = reader.closure(names) - names
            parts = [part for part in parts if part["name"] in names]
        elif names:
            parts = [part for part in parts if part["name"] in names]
        if self.get_option("stage"):
            parts = [part for part in parts if part["stage"] == self.get_option("stage")]
        if self.get_option("tagged"):
            parts = [part for part in parts if reader.choice.tagged(part["name"])]
        return parts
