# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """Options for access to a Git repository: git_argspec() in module_utils/_argspec.py."""

    DOCUMENTATION = r"""
options:
  repository:
    description: URL or path of the repository, as git takes it.
    type: str
    required: true
  branch:
    description: The branch.
    type: str
    default: main
  private_key:
    description:
      - File with the SSH private key. The module uses no other key, agent, credential helper or Git configuration.
    type: path
  known_hosts:
    description: File with the accepted host keys. Without it the module accepts no SSH server.
    type: path
  timeout:
    description: Maximum duration of each git command in seconds.
    type: int
    default: 60
  connect_timeout:
    description: Seconds to retry while the server does not answer.
    type: int
    default: 30
requirements:
  - git
"""
