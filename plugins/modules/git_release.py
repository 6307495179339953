# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_release
short_description: Choose the commit that an environment deploys of a workload
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - A release is a file C(releases/ENVIRONMENT/WORKLOAD.yaml) in a Git repository. It names a commit of the same
    repository. Argo CD deploys the workload to the environment from this commit. A workload without a release follows
    the branch.
  - The module writes all requested releases in one commit and pushes it as a fast-forward. If somebody else pushes
    something else at the same time, the module creates the commit again on top of it.
  - The module changes nothing else in the repository.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details: The module does everything except the push. Only the hash of the commit is unknown.
  diff_mode:
    details: The diff shows the releases before and after.
options:
  releases:
    description: The releases.
    type: list
    elements: dict
    required: true
    suboptions:
      environment:
        description: The environment.
        type: str
        required: true
      workload:
        description: The workload.
        type: str
        required: true
      revision:
        description:
          - The full hash of a commit in the history of O(branch).
          - An empty string removes the release, so that the workload follows the branch.
        type: str
        required: true
      expected:
        description:
          - The release on which the decision was based, an empty string for none. If the release is another one by now,
            and not already the requested one, the module fails and changes nothing.
          - Without this option, any release is replaced.
        type: str
  only_missing:
    description: Whether to change only workloads that have no release.
    type: bool
    default: false
  commit_message:
    description: Message of the commit.
    type: str
    required: true
  author:
    description: Name of the person who requested the release. Drystone is the committer.
    type: str
    default: Drystone
  email:
    description: Mail address of this person.
    type: str
    default: drystone@localhost
  pull_request:
    description:
      - Name of a new branch that receives the commit instead of O(branch), for a pull request.
      - The module fails if the branch exists with another commit.
    type: str
seealso:
  - module: drystone.platform.git_note
  - module: drystone.platform.git_release_info
  - module: drystone.platform.release_diff
"""

EXAMPLES = r"""
- name: Promote the greeter to staging
  drystone.platform.git_release:
    repository: ssh://git@127.0.0.1:2222/srv/git/platform.git
    private_key: ~/.local/state/drystone/drystone-dev/git/operator_key
    known_hosts: ~/.local/state/drystone/drystone-dev/git/known_hosts
    commit_message: Promote greeter to staging
    author: Ada
    email: ada@example.com
    releases:
      - environment: staging
        workload: greeter
        revision: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
        expected: 0c1f0f5dd3f5bb2d5a0c4bd1a0c1b1a0f2e3d4c5

- name: Let a workload follow the branch again
  drystone.platform.git_release:
    repository: /srv/git/platform.git
    commit_message: Follow main
    releases:
      - environment: staging
        workload: greeter
        revision: ""
"""

RETURN = r"""
head:
  description: The head of the branch before the run.
  returned: success
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
commit:
  description: The new commit. Null in check mode and without a change.
  returned: success
  type: str
  sample: 0c1f0f5dd3f5bb2d5a0c4bd1a0c1b1a0f2e3d4c5
pushed_branch:
  description: The branch that receives the commit, or has it from an earlier run. Null without a change.
  returned: success
  type: str
  sample: main
previous:
  description: The releases before the run by C(ENVIRONMENT/WORKLOAD), each a full hash, or null for none.
  returned: success
  type: dict
  sample:
    staging/greeter: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
msg:
  description: The result in one sentence.
  returned: success
  type: str
  sample: /srv/git/platform.git (main) gets greeter in staging at 5b3d2b0ce1b2.
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Author, remote_of
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target
from ansible_collections.drystone.platform.plugins.module_utils._release.write import Request, release

_RELEASE = {
    "environment": {"type": "str", "required": True},
    "workload": {"type": "str", "required": True},
    "revision": {"type": "str", "required": True},
    "expected": {"type": "str"},
}


def _request(params: dict[str, t.Any]) -> Request:
    targets = {Target(one["environment"], one["workload"]): one for one in params["releases"]}
    return Request(
        wanted={target: one["revision"] or None for target, one in targets.items()},
        expected={target: one["expected"] or None for target, one in targets.items() if one["expected"] is not None},
        message=params["commit_message"],
        author=Author(params["author"], params["email"]),
        only_missing=params["only_missing"],
        branch=params["pull_request"],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "releases": {"type": "list", "elements": "dict", "required": True, "options": _RELEASE},
            "only_missing": {"type": "bool", "default": False},
            "commit_message": {"type": "str", "required": True},
            "author": {"type": "str", "default": "Drystone"},
            "email": {"type": "str", "default": "drystone@localhost"},
            "pull_request": {"type": "str"},
        },
        supports_check_mode=True,
    )
    params = module.params
    remote = remote_of(params)
    with failing(module):
        outcome = release(remote, _request(params), check=module.check_mode)
    succeed(module, **outcome.facts(), diff=outcome.diff())


if __name__ == "__main__":
    main()
