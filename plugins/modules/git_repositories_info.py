# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_repositories_info
short_description: List the repositories of the in-cluster Git server
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns all repositories on the server of the role P(drystone.platform.git_server#role). This includes repositories
    that are not in a variable any more, which a backup must not miss.
  - Only a key that may write to all repositories, such as the operator's, may list them.
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: Nothing is ever changed.
requirements:
  - ssh (OpenSSH's client)
  - git
options:
  server:
    description: URL of the directory of the repositories. It must start with C(ssh://).
    type: str
    required: true
  private_key:
    description: File with the SSH private key. The module uses no other key, agent or SSH configuration.
    type: path
  known_hosts:
    description: File with the accepted host keys. Without it, no server is accepted.
    type: path
  timeout:
    description: Timeout of one attempt, in seconds.
    type: int
    default: 60
  connect_timeout:
    description: Seconds to retry while the server does not answer.
    type: int
    default: 30
seealso:
  - module: drystone.platform.git_backup
"""

EXAMPLES = r"""
- name: List the repositories
  drystone.platform.git_repositories_info:
    server: ssh://git@127.0.0.1:2222/srv/git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
  register: found

- name: Save the history of all repositories
  drystone.platform.git_backup:
    repository: ssh://git@127.0.0.1:2222/srv/git/{{ item }}.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    path: /var/backups/{{ item }}.bundle
  loop: "{{ found.repositories }}"

- name: Wait up to two minutes for a server that is starting
  drystone.platform.git_repositories_info:
    server: ssh://git@127.0.0.1:2222/srv/git
    connect_timeout: 120
"""

RETURN = r"""
repositories:
  description: The names of the repositories, without C(.git).
  returned: success
  type: list
  elements: str
  sample: [platform, site-content]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._command import run
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.server import repositories
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    options = {name: option for name, option in git_argspec().items() if name not in ("repository", "branch")}
    module = AnsibleModule(
        argument_spec={"server": {"type": "str", "required": True}, **options}, supports_check_mode=True
    )
    remote = Remote(module.params["server"], **{name: module.params[name] for name in options})
    with failing(module):
        found = repositories(remote, run)
    succeed(module, changed=False, repositories=found)


if __name__ == "__main__":
    main()
