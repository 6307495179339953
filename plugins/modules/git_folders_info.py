# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_folders_info
short_description: List folders at the head of a branch of a Git repository
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Reads the newest commit of a branch, without its history, and returns the folders in a path.
  - The Argo CD ApplicationSet of the role P(drystone.platform.workloads#role) creates one Application for each of these
    folders. The module therefore determines the expected Applications.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: Nothing is ever changed.
options:
  path:
    description: Folder of the repository that contains the folders.
    type: str
    required: true
  depth:
    description: Number of levels between O(path) and the folders.
    type: int
    default: 1
seealso:
  - module: drystone.platform.git_seed
"""

EXAMPLES = r"""
- name: List the workloads of every environment
  drystone.platform.git_folders_info:
    repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    path: deploy/environments
    depth: 2

- name: List the environments
  drystone.platform.git_folders_info:
    repository: /srv/git/platform.git
    path: deploy/environments

- name: Look at another branch
  drystone.platform.git_folders_info:
    repository: /srv/git/platform.git
    branch: next
    path: deploy/environments
"""

RETURN = r"""
revision:
  description: The newest commit of the branch. Null if the branch does not exist.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
folders:
  description: The folders, relative to O(path). Empty if the path does not exist.
  returned: success
  type: list
  elements: str
  sample: [dev/greeter, dev/site, staging/greeter]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import remote_of
from ansible_collections.drystone.platform.plugins.module_utils._git.server import folders
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "path": {"type": "str", "required": True},
            "depth": {"type": "int", "default": 1},
        },
        supports_check_mode=True,
    )
    params = module.params
    remote = remote_of(params)
    with failing(module):
        revision, found = folders(remote, params["path"].strip("/"), params["depth"])
    succeed(module, changed=False, revision=revision, folders=found)


if __name__ == "__main__":
    main()
