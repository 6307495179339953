# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_sync_secret_info
short_description: Get information about the credential of git-sync, and test it
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Reads the Secret of git-sync and the Secret with a staged key. Returns only values that are not secret.
  - With O(check) the module tests the credential from this host in the same way as
    M(drystone.platform.git_sync_secret). If the credential does not work, the module returns this and does not fail.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details:
      - The module only reads.
  diff_mode:
    support: none
    details:
      - The module changes nothing.
options:
  namespace:
    description: Namespace of the Secret.
    type: str
    required: true
  name:
    description: Name of the Secret.
    type: str
    required: true
  check:
    description: Whether to read the repository with the credential.
    type: bool
    default: false
  repository:
    description: URL of the repository as git-sync uses it. By default the URL for which the Secret was created.
    type: str
  check_repository:
    description: URL of the same repository as this host reaches it. The default is O(repository).
    type: str
  ref:
    description: Branch, tag or full commit hash to read. By default the reference for which the Secret was created.
    type: str
requirements:
  - cryptography
  - git with O(check)
  - ssh of OpenSSH with O(check) of an SSH repository
seealso:
  - module: drystone.platform.git_sync_secret
"""

EXAMPLES = r"""
- name: Read the credential of git-sync
  drystone.platform.git_sync_secret_info:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
  register: credentials

- name: Show a staged key that is not used yet
  ansible.builtin.debug:
    msg: "{{ credentials.staged_public_key }}"
  when: credentials.staged_public_key is not none

- name: Fail if the credential does not work
  drystone.platform.git_sync_secret_info:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    check: true
  register: checked
  failed_when: checked is failed or not checked.readable

- name: Test the credential with the URL by which this host reaches the repository
  drystone.platform.git_sync_secret_info:
    kubeconfig: ~/.kube/config
    namespace: dev
    name: site-git-credentials
    check: true
    check_repository: ssh://git@127.0.0.1:2222/srv/git/site-content.git
"""

RETURN = r"""
exists:
  description: Whether the Secret exists.
  returned: success
  type: bool
  sample: true
ours:
  description: Whether M(drystone.platform.git_sync_secret) created the Secret.
  returned: success
  type: bool
  sample: true
auth:
  description: How the credential authenticates, V(ssh) or V(https). Null if there is none.
  returned: success
  type: str
  sample: ssh
public_key:
  description: The public half of the SSH key. Null if there is none.
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... dev/site-git-credentials
fingerprint:
  description: >-
    The fingerprint of the SSH key, or the first characters of a SHA-256 checksum for HTTPS. Null if there is none.
  returned: success
  type: str
  sample: SHA256:4rEdyZSaZkGc1rXLM9wK0iYYpHgcXXyqVjWnbFJfQ1Q
host_key_fingerprints:
  description: Type and fingerprint of each accepted host key.
  returned: success
  type: list
  elements: str
  sample:
    - ssh-ed25519 SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8
staged_public_key:
  description: The public half of the staged key. Null if there is none.
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... dev/site-git-credentials
staged_fingerprint:
  description: The fingerprint of the staged key. Null if there is none.
  returned: success
  type: str
  sample: SHA256:4rEdyZSaZkGc1rXLM9wK0iYYpHgcXXyqVjWnbFJfQ1Q
previous_fingerprint:
  description:
    - The fingerprint of a credential that was replaced and is kept until the server refuses it. Null if there is none.
  returned: success
  type: str
  sample: null
repository:
  description: The repository for which the Secret was created. Null if it is unknown.
  returned: success
  type: str
  sample: git@git.example.org:team/site-content.git
ref:
  description: The branch, tag or commit.
  returned: success
  type: str
  sample: main
readable:
  description: Whether the credential can read the repository.
  returned: with O(check)
  type: bool
  sample: true
commit:
  description: The current commit of O(ref). Null if the credential cannot read it.
  returned: with O(check)
  type: str
  sample: 5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697
reason:
  description:
    - Why the credential cannot read the repository; a value of RV(reason) of M(drystone.platform.git_sync_secret), or
      V(credential_missing) or V(auth_differs). Null if it can.
  returned: with O(check)
  type: str
  sample: permission_denied
problem:
  description: The same reason as a sentence. Null if the credential can read the repository.
  returned: with O(check)
  type: str
  sample: Secret dev/site-git-credentials does not exist.
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_credential import password_in
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_sync_info import inspect
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import require_cryptography
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "namespace": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "check": {"type": "bool", "default": False},
            "repository": {"type": "str"},
            "check_repository": {"type": "str"},
            "ref": {"type": "str"},
        },
        supports_check_mode=True,
    )
    require_cryptography(module)
    params = dict(module.params)
    module.no_log_values.update(password_in(params["repository"]) | password_in(params["check_repository"]))
    with failing(module):
        api = KubeApi.from_kubeconfig(params.pop("kubeconfig"), params.pop("context"))
        facts = inspect(api, **params, hide=module.no_log_values.update)
    succeed(module, changed=False, **facts)


if __name__ == "__main__":
    main()
