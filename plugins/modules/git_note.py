# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_note
short_description: Add a line to the notes of a commit
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Adds a line to the Git note of a commit in C(refs/notes/drystone) and pushes it. A note does not change the commit.
  - M(drystone.platform.git_release_info) shows the notes as the health of a release.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._git_remote
attributes:
  check_mode:
    details: The module reads the notes and predicts the change.
  diff_mode:
    details: The diff shows the added line.
options:
  commit:
    description: The full hash of a commit in the history of O(branch).
    type: str
    required: true
  text:
    description: The line. The module changes nothing if the note has it already.
    type: str
    required: true
seealso:
  - module: drystone.platform.git_release
"""

EXAMPLES = r"""
- name: Note that a release is healthy
  drystone.platform.git_note:
    repository: /srv/git/platform.git
    commit: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
    text: healthy
"""

RETURN = r"""
msg:
  description: The result in one sentence.
  returned: success
  type: str
  sample: Commit 5b3d2b0ce1b2 gets the note "healthy".
"""

import tempfile

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import git_argspec
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git, remote_of
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._release.history import note


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **git_argspec(),
            "commit": {"type": "str", "required": True},
            "text": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    commit, text = params["commit"], params["text"]
    remote = remote_of(params)
    with failing(module), tempfile.TemporaryDirectory(prefix="drystone-git-") as directory:
        changed = note(Git(remote, directory), commit, text, check=module.check_mode)
    msg = f'Commit {commit[:12]} {"gets" if changed else "already has"} the note "{text}".'
    succeed(module, changed=changed, msg=msg, diff={"before": "", "after": f"{text}\n"} if changed else {})


if __name__ == "__main__":
    main()
