# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the public contracts of the parts."""

from __future__ import annotations

DOCUMENTATION = r"""
name: parts
short_description: Read the public contracts of the parts
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Reads C(roles/PART/meta/part.yml) of the deployed parts and renders it with the variables of the host over the
    defaults of all roles.
  - Returns the contracts in the order in which the parts are applied.
  - The order is that of C(drystone_parts), changed only as far as a part has to come after another one.
  - A part that C(drystone_parts) does not list or that C(--skip-tags) names is not deployed. So is one whose contract
    switches it off.
  - Fails for an unknown part, for a part without one that it requires, and for a contract that breaks its schema.
options:
  _terms:
    description: Names of parts. Only those of them that are deployed are returned. All of them, where none are given.
    type: list
    elements: str
  tagged:
    description: Whether to return only the parts that C(--tags) does not keep this run away from.
    type: bool
    default: false
  stage:
    description: Whether to return only the parts of one stage.
    type: str
    choices: [platform, workloads]
  requirements:
    description: Whether to return the parts that those named require, directly or not, instead of those named.
    type: bool
    default: false
  topics:
    description:
      - What to read of the contracts beside names, titles, stages and what the order depends on.
      - V(readiness) is C(timeout), C(conditions) and C(answers). V(network) is C(metrics), C(namespaces), C(connects)
        and C(services). V(images) is C(prefetch), C(images), C(files) and C(pins).
    type: list
    elements: str
    choices: [readiness, network, images]
    default: [readiness, network, images]
  everything:
    description: Whether to return every part that there is, deployed or not. Nothing is said then of connections.
    type: bool
    default: false
  roles_path:
    description: The directory with the roles. That of this collection, where none is given.
    type: path
seealso:
  - plugin: drystone.platform.deployed_parts
    plugin_type: lookup
  - plugin: drystone.platform.part_steps
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Say in which order the parts are applied
  ansible.builtin.debug:
    msg: "{{ query('drystone.platform.parts', topics=[]) | map(attribute='title') | join(', ') }}"

- name: Wait for Argo CD
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions: "{{ query('drystone.platform.parts', 'argocd', topics=['readiness'])[0].conditions }}"

- name: Say which parts the workloads require
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
    """Looks up contracts."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[Contract]:
        """Return those that are asked for."""
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
