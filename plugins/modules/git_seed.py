# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_seed
short_description: Seed a Git repository from a directory without overwriting what was committed there
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Commits the content of a directory to a Git repository, under a prefix or as the whole of it, and pushes it, as a
    fast-forward only.
  - An empty repository gets its first commit, or its old history back from O(bundle).
  - A repository whose content is still what this module brought last gets a commit on top when the source has changed.
  - A repository whose content somebody else has changed since is left alone, and both commits are named.
  - The same content makes no new commit.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details:
      - The repository is read and everything but the push is done, so the prediction is exact. Only the hash of a
        commit that would be made is not known.
  diff_mode:
    details:
      - The diff shows the commit and the changed paths.
options:
  source:
    description:
      - Directory with the content. What its own C(.gitignore) files leave out is left out.
      - Without one, an empty repository gets its old history back from O(bundle), and nothing else is done.
    type: path
  prefix:
    description:
      - Directory in the repository that gets the content. Nothing outside it is touched.
      - Without one the content is the whole of the repository.
    type: str
    default: ""
  subject:
    description: First line of the commit message.
    type: str
    default: Bring deploy/ up to date
  bundle:
    description: Git bundle whose history an empty repository gets first. Ignored where there is no such file.
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

- name: Seed it with the history that was kept, if it is empty
  drystone.platform.git_seed:
    repository: /srv/git/platform.git
    source: ./deploy
    prefix: deploy
    bundle: ~/.local/share/drystone/drystone-dev/platform.bundle

- name: Insist that this checkout is what the repository has
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
    - What was done, or would be in check mode.
    - V(seeded), an empty repository got its first commit; V(restored), it got its history from the bundle;
      V(pushed), a commit was added; V(unchanged), nothing was to do; V(diverged), commits of somebody else are in
      the way.
  returned: success
  type: str
  sample: unchanged
revision:
  description: The head of the branch afterwards. Null in check mode where it would be a new commit.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
before:
  description: The head of the branch before. Null if there was none.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
own:
  description: The newest commit of the branch that was made by this module.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
ahead:
  description: How many commits the branch had on top of it.
  returned: success
  type: int
  sample: 0
paths:
  description: The changed paths, each after the letter of its change.
  returned: success
  type: list
  elements: str
  sample:
    - M deploy/environments/dev/greeter/kustomization.yaml
msg:
  description: The outcome in a sentence.
  returned: success
  type: str
  sample: ssh://git@127.0.0.1:2222/srv/git/platform.git (main) has the content of this checkout at 5b3d2b0ce1b2.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Remote
from ansible_collections.drystone.platform.plugins.module_utils._git.seed import seed


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
    remote = Remote(params["repository"], **{name: params[name] for name in git_argspec() if name != "repository"})
    try:
        outcome = seed(
            remote,
            source=params["source"],
            prefix=params["prefix"],
            subject=params["subject"],
            bundle=params["bundle"],
            check=module.check_mode,
        )
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    result = outcome.facts()
    if outcome.changed:
        after = outcome.revision or "a new commit"
        result["diff"] = {
            "before": {"head": outcome.before, "paths": []},
            "after": {"head": after, "paths": outcome.paths},
        }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
