# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_backup
short_description: Save a branch of a Git repository with its history in a bundle file
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Writes a branch with its whole history to a Git bundle. M(drystone.platform.git_seed) or C(git clone) restore it.
  - If the bundle already contains the newest commit of the branch, the module does not change it. Otherwise it replaces
    the file atomically.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
options:
  path:
    description: The bundle file. Its directory must exist.
    type: path
    required: true
seealso:
  - module: drystone.platform.git_seed
"""

EXAMPLES = r"""
- name: Save the history
  drystone.platform.git_backup:
    repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    path: ~/.local/share/drystone/drystone-dev/platform.bundle

- name: Save another branch
  drystone.platform.git_backup:
    repository: /srv/git/platform.git
    branch: next
    path: /var/backups/platform-next.bundle

- name: Continue if the server does not answer
  block:
    - name: Save the history
      drystone.platform.git_backup:
        repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
        path: /var/backups/platform.bundle
  rescue:
    - name: Show the error
      ansible.builtin.debug:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
action:
  description:
    - V(written), the module wrote the file, or would write it in check mode; V(kept), the file already contained the
      commit; V(empty), the repository has no such branch.
  returned: success
  type: str
  sample: written
revision:
  description: The newest commit of the branch.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
msg:
  description: The result in one sentence.
  returned: success
  type: str
  sample: /var/backups/platform.bundle has /srv/git/platform.git (main) at 5b3d2b0ce1b2.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.seed import back_up
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**git_argspec(), "path": {"type": "path", "required": True}}, supports_check_mode=True
    )
    params = module.params
    remote = Remote(params["repository"], **{name: params[name] for name in git_argspec() if name != "repository"})
    with failing(module):
        outcome = back_up(remote, path=params["path"], check=module.check_mode)
    diff = {"before": {"head": outcome.before}, "after": {"head": outcome.revision or outcome.before}}
    succeed(
        module, changed=outcome.changed, action=outcome.action, revision=outcome.revision, msg=outcome.msg, diff=diff
    )


if __name__ == "__main__":
    main()
