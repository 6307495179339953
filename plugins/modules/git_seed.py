# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_seed
short_description: Seed a Git repository from a directory without overwriting commits
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Commits the content of a directory to a Git repository, under a prefix or as its whole content, and pushes only
    fast-forwards.
  - If the repository is empty, the module creates its first commit, or restores every branch, tag and other ref from
    O(bundle).
  - If the content is still the content of this module's last commit and the source has changed, the module adds a
    commit.
  - If somebody else has changed the content since then, the module changes nothing and names both commits.
  - If the source has the same content as the repository, the module creates no commit.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details:
      - The module reads the repository and does everything except the push, so the prediction is exact. Only the hash
        of a new commit is unknown.
  diff_mode:
    details:
      - The diff shows the commit and the changed paths.
options:
  source:
    description:
      - Directory with the content. Files that its own C(.gitignore) files exclude are not committed.
      - Without this option the module only restores the history of an empty repository from O(bundle).
    type: path
  prefix:
    description:
      - Directory in the repository that receives the content. The module changes nothing outside this directory.
      - Without a prefix the content becomes the whole content of the repository.
    type: str
    default: ""
  subject:
    description: First line of the commit message.
    type: str
    default: Bring deploy/ up to date
  bundle:
    description:
      - Git bundle to restore if the repository does not have O(branch). The module restores all refs that the
        repository does not have, or none of them, and changes no other ref. Ignored if the file does not exist.
    type: path
seealso:
  - module: drystone.platform.git_backup
  - module: ansible.builtin.git
"""

EXAMPLES = r"""
- name: Seed the repository from this checkout
  drystone.platform.git_seed:
    repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    source: ./deploy
    prefix: deploy

- name: Seed an empty repository and restore its saved history
  drystone.platform.git_seed:
    repository: /srv/git/platform.git
    source: ./deploy
    prefix: deploy
    bundle: ~/.local/share/drystone/drystone-dev/platform.bundle

- name: Fail if the repository has other content than this checkout
  drystone.platform.git_seed:
    repository: /srv/git/platform.git
    source: ./deploy
    prefix: deploy
  register: seeded
  failed_when: seeded is failed or seeded.action == 'diverged'
"""

RETURN = r"""
action:
  description:
    - The action, in check mode the action that a run would take.
    - V(seeded), the module created the first commit of an empty repository; V(restored), it restored the history from
      the bundle; V(pushed), it added a commit; V(unchanged), nothing had to change; V(diverged), it changed nothing
      because of commits by somebody else.
  returned: success
  type: str
  sample: unchanged
revision:
  description: The head of the branch after the run. Null in check mode if it would be a new commit.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
before:
  description: The head of the branch before the run. Null if the branch did not exist.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
own:
  description: The newest commit of the branch that this module created.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
ahead:
  description: The number of commits after RV(own) on the branch before the run.
  returned: success
  type: int
  sample: 0
paths:
  description: The changed paths, each with the letter of its change (as in C(git diff --name-status)) in front.
  returned: success
  type: list
  elements: str
  sample:
    - M deploy/environments/dev/greeter/kustomization.yaml
msg:
  description: The result in one sentence.
  returned: success
  type: str
  sample: ssh://git@127.0.0.1:2222/srv/git/platform.git (main) already has the content of this checkout at 5b3d2b0ce1b2.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import remote_of
from ansible_collections.drystone.platform.plugins.module_utils._git.seed import seed
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "source": {"type": "path"},
            "prefix": {"type": "str", "default": ""},
            "subject": {"type": "str", "default": "Bring deploy/ up to date"},
            "bundle": {"type": "path"},
        },
        supports_check_mode=True,
    )
    params = module.params
    remote = remote_of(params)
    with failing(module):
        outcome = seed(
            remote,
            source=params["source"],
            prefix=params["prefix"],
            subject=params["subject"],
            bundle=params["bundle"],
            check=module.check_mode,
        )
    result = outcome.facts()
    if outcome.changed:
        after = outcome.revision or "a new commit"
        result["diff"] = {
            "before": {"head": outcome.before, "paths": []},
            "after": {"head": after, "paths": outcome.paths},
        }
    succeed(module, **result)


if __name__ == "__main__":
    main()
