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
  - Judges the variables that the user has set against the argument specs of every role of this collection, so that a
    wrong value for the last role is found before the first one makes anything.
  - A variable that begins with C(drystone_) or with the name of a role and is known to none is refused, with the
    nearest name.
  - A value without quotes that YAML reads as another type is refused where text is wanted.
  - Fails with all problems at once. Values of variables that hold secrets are never shown.
author: The Drystone authors (@drystone)
options:
  roles:
    description: The roles whose required variables must be set. All roles, where none are given.
    type: list
    elements: str
  roles_path:
    description: The directory with the roles. That of this collection, where none is given.
    type: path
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    support: full
    description: It only reads.
  diff_mode:
    support: none
    description: Nothing is changed.
"""

EXAMPLES = r"""
- name: Check the variables of every role
  drystone.platform.validate_inputs:

- name: Check them where only some roles will run
  drystone.platform.validate_inputs:
    roles: [kind_cluster, argocd]

- name: Show what is wrong and go on
  drystone.platform.validate_inputs:
  register: inputs
  failed_when: false
"""

RETURN = r"""
problems:
  description: What is wrong.
  returned: always
  type: list
  elements: dict
  sample:
    - variable: argocd_wiat
      problem: role argocd has no such variable; did you mean argocd_wait?
      where: inventories/dev/group_vars/all/main.yml:4:14
  contains:
    variable:
      description: Name of the variable.
      type: str
      returned: always
    problem:
      description: What is wrong with it.
      type: str
      returned: always
    where:
      description: The file and line where it was set, where that is known.
      type: str
      returned: always
"""
