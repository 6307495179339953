# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How to reach a Git repository; the options of module_utils/_argspec.py git_argspec()."""

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
      - File with the SSH private key. No other key, agent, credential helper or Git configuration is used.
    type: path
  known_hosts:
    description: File with the host keys that are accepted. Without it no SSH server is.
    type: path
  timeout:
    description: How many seconds each git command may take.
    type: int
    default: 60
  connect_timeout:
    description: For how many seconds a server that does not answer yet is tried again.
    type: int
    default: 30
requirements:
  - git
"""
