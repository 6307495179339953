# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This file holds the documentation; the work is done by the action plugin of the same name.

from __future__ import annotations

DOCUMENTATION = r"""
module: validate_inputs
version_added: 1.0.0
short_description: Validate the variables of all roles at once
description:
  - Checks the user's variables against the argument specs of every role of this collection. Therefore it finds a wrong
    value for the last role before the first role changes anything.
  - Refuses a variable that begins with C(drystone_) or the name of a role if no role knows it, and suggests the nearest
    name.
  - Refuses an unquoted value that YAML reads as another type if the variable must be a string.
  - Refuses an unknown part in C(drystone_parts), and a part whose required part is left out by C(drystone_parts) or
    C(--skip-tags).
  - Fails with a list of all problems. It never shows values of secret variables.
author: The Drystone authors (!UNKNOWN)
options:
  roles:
    description: The roles whose required variables must be set. By default all roles.
    type: list
    elements: str
  roles_path:
    description: The directory with the roles. By default that of this collection.
    type: path
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    description: The module only reads.
  diff_mode:
    support: none
    description: The module changes nothing.
"""

EXAMPLES = r"""
- name: Check the variables of every role
  drystone.platform.validate_inputs:

- name: Check the variables if only some roles will run
  drystone.platform.validate_inputs:
    roles: [kind_cluster, argocd]

- name: Check the variables and continue despite problems
  drystone.platform.validate_inputs:
  register: inputs
  failed_when: false
"""

RETURN = r"""
problems:
  description: The problems.
  returned: always
  type: list
  elements: dict
  sample:
    - variable: argocd_wiat
      problem: role argocd does not have this variable; did you mean argocd_wait?
      where: inventories/dev/group_vars/all/main.yml:4:14
  contains:
    variable:
      description: Name of the variable.
      type: str
      returned: always
    problem:
      description: The problem.
      type: str
      returned: always
    where:
      description: The file and line that set the variable, if known.
      type: str
      returned: always
"""
