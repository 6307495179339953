# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_release_info
short_description: Show the commits that environments deploy, and their history
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns the releases of a Git repository. On request it also returns the history of a workload in an environment,
    with who changed the deployed commit, when and why, and the noted health.
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
  history_of:
    description: The workload and the environment whose history is read.
    type: dict
    suboptions:
      environment:
        description: The environment.
        type: str
        required: true
      workload:
        description: The workload.
        type: str
        required: true
  limit:
    description: The largest number of entries of the history, the newest first.
    type: int
    default: 20
seealso:
  - module: drystone.platform.git_release
"""

EXAMPLES = r"""
- name: Read the releases
  drystone.platform.git_release_info:
    repository: /srv/git/platform.git

- name: Read who changed the greeter in staging
  drystone.platform.git_release_info:
    repository: /srv/git/platform.git
    history_of:
      environment: staging
      workload: greeter
"""

RETURN = r"""
head:
  description: The head of the branch. Null if the branch does not exist.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
releases:
  description: The commit of each workload that has a release, by C(ENVIRONMENT/WORKLOAD).
  returned: success
  type: dict
  sample:
    staging/greeter: 0c1f0f5dd3f5bb2d5a0c4bd1a0c1b1a0f2e3d4c5
history:
  description: The changes of the workload in the environment, the newest first. Empty without O(history_of).
  returned: success
  type: list
  elements: dict
  contains:
    commit:
      description: The commit that changed the release, or without a release the workload.
      type: str
    author:
      description: The name of its author.
      type: str
    date:
      description: Its time in ISO 8601.
      type: str
    subject:
      description: The first line of its message.
      type: str
    revision:
      description: The deployed commit. Null if the workload followed the branch.
      type: str
    health:
      description: The notes of M(drystone.platform.git_note). Empty if nobody checked.
      type: str
earlier:
  description:
    - The commit that was deployed before the current one. Commits with the note V(failed) and commits that were rolled
      back already are skipped. Null without O(history_of), and if there is none.
  returned: success
  type: str
  sample: 0c1f0f5dd3f5bb2d5a0c4bd1a0c1b1a0f2e3d4c5
"""

import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, remote_of
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._release.history import earlier, history
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, read

_TARGET = {
    "environment": {"type": "str", "required": True},
    "workload": {"type": "str", "required": True},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "history_of": {"type": "dict", "options": _TARGET},
            "limit": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    params = module.params
    wanted = params["history_of"]
    remote = remote_of(params)
    with failing(module), tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        git = Git(remote, directory)
        # The releases are in the newest commit. Only a history needs all commits.
        head = git.fetch(shallow=not wanted)
        releases = read(git, head) if head else {}
        entries = []
        if head and wanted:
            entries = history(git, head, Target(wanted["environment"], wanted["workload"]), params["limit"])
    succeed(
        module,
        changed=False,
        head=head,
        releases={f"{target.environment}/{target.workload}": revision for target, revision in releases.items()},
        history=[entry.facts() for entry in entries],
        earlier=earlier(entries),
    )


if __name__ == "__main__":
    main()
