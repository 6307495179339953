# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_backup
short_description: Save every ref of a Git repository with its history in a bundle file
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Writes every branch, tag, note and other ref with its whole history to a Git bundle.
    M(drystone.platform.git_seed) or C(git clone) restore it.
  - The module flushes the new file to the disk, reads all of it back and compares it with the refs that the server
    lists. Only then does it replace the file. If the refs change meanwhile, it starts again. So if the module succeeds,
    the history is safe.
  - If the earlier bundle has a ref or a commit that the repository does not have, or if it cannot be read, the module
    keeps it beside the new one, with the time of its last change in its name.
  - If the bundle already has every ref, the module reads all of it and does not change it.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details:
      - The repository and the bundle are read, and no file is written.
options:
  branch:
    description: The branch that C(git clone) checks out from the bundle. The bundle also contains all other branches.
  path:
    description: The bundle file. Its directory must exist.
    type: path
    required: true
seealso:
  - module: drystone.platform.git_seed
  - module: drystone.platform.git_repositories_info
"""

EXAMPLES = r"""
- name: Save the history
  drystone.platform.git_backup:
    repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    path: ~/.local/share/drystone/drystone-dev/platform.bundle

- name: Save a large repository, for which a Git command may take ten minutes
  drystone.platform.git_backup:
    repository: /srv/git/platform.git
    path: /var/backups/platform.bundle
    timeout: 600

- name: Remove the server only if its history is saved
  block:
    - name: Save the history
      drystone.platform.git_backup:
        repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
        path: /var/backups/platform.bundle
  rescue:
    - name: Stop
      ansible.builtin.fail:
        msg: "The server stays, because its history is not saved: {{ ansible_failed_result.msg }}"
"""

RETURN = r"""
action:
  description:
    - V(written), the module wrote the file, or would write it in check mode; V(kept), the file already contained every
      ref; V(empty), the repository has no ref.
  returned: success
  type: str
  sample: written
refs:
  description: Every ref in the bundle and its object.
  returned: success
  type: dict
  sample:
    refs/heads/main: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
    refs/tags/v1: 1d6c5a4f0b0f3a1e2d3c4b5a6975b3d2b0ce1b2f
earlier:
  description: The new path of the earlier bundle. Null if the new bundle contains all of it.
  returned: success
  type: str
  sample: /var/backups/platform-20261130T081500Z.bundle
msg:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Saves all 3 refs of /srv/git/platform.git in /var/backups/platform.bundle.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.backup import back_up, facts
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import remote_of
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**git_argspec(), "path": {"type": "path", "required": True}}, supports_check_mode=True
    )
    params = module.params
    remote = remote_of(params)
    with failing(module):
        backup = back_up(remote, path=params["path"], check=module.check_mode)
    succeed(module, **facts(backup))


if __name__ == "__main__":
    main()
