# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Convert contracts of parts into the steps that deploy them."""

from __future__ import annotations

DOCUMENTATION = r"""
name: part_steps
short_description: Convert contracts of parts into the steps that deploy them
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns the entry points of the roles in the order in which they run. Parts are applied without waiting for each
    other if possible.
  - If a part awaits another part, the steps wait for that other part right before the part is applied, and then run
    its entry point C(ready).
  - The entry points C(finish) run when all parts are applied.
options:
  _input:
    description: The contracts, as the lookup P(drystone.platform.parts#lookup) returns them.
    type: list
    elements: dict
    required: true
seealso:
  - plugin: drystone.platform.parts
    plugin_type: lookup
"""

EXAMPLES = r"""
- name: Apply all parts
  ansible.builtin.include_role:
    name: drystone.platform.{{ step.part }}
    tasks_from: "{{ step.entry_point }}"
  loop: "{{ query('drystone.platform.parts') | drystone.platform.part_steps }}"
  loop_control:
    loop_var: step
    label: "{{ step.part }} {{ step.entry_point }}"
"""

RETURN = r"""
_value:
  description: The steps, each with C(part), C(title) and C(entry_point).
  type: list
  elements: dict
  sample:
    - part: argocd
      title: Argo CD
      entry_point: apply
"""

import typing as t

from ansible_collections.drystone.platform.plugins.plugin_utils._parts import steps


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Return the filters by name."""
        return {"part_steps": steps}
