# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_readers
short_description: Control who may read which repository of the Git server in the cluster
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Authorizes the credentials in the given Secrets at the Git server of the role C(git_server). Each credential may
    only read one repository.
  - For an SSH key (C(ssh) in a Secret) the server receives the public half with a forced command, in the ConfigMap
    C(git/git-server-readers). For a token (C(password) in a Secret) it receives the SHA-256 checksum, in the Secret
    C(git/git-server-https-readers).
  - Revokes a replaced credential only after the server's log shows that O(readers[].syncers) have used its successor.
    Until then both work, so that a working credential exists at every moment.
  - Revokes the credentials of readers that are no longer listed at once.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  diff_mode:
    details:
      - The diff shows fingerprints.
options:
  readers:
    description: All readers.
    type: list
    elements: dict
    required: true
    suboptions:
      user:
        description: Name of the reader, for HTTPS also the user name.
        type: str
        required: true
      repository:
        description: Name of the repository on the server, without C(.git).
        type: str
        required: true
      namespace:
        description: Namespace of the Secrets and of the syncers.
        type: str
        required: true
      secrets:
        description: Names of the Secrets. The module ignores Secrets that do not exist.
        type: list
        elements: str
        required: true
      syncers:
        description: Label selector of the Pods that read the repository regularly.
        type: str
        default: ""
  timeout:
    description: Seconds to wait until the syncers use new credentials. The module then revokes the old ones.
    type: int
    default: 180
requirements:
  - cryptography
seealso:
  - module: drystone.platform.git_sync_secret
"""

EXAMPLES = r"""
- name: Let a workload read its content
  drystone.platform.git_readers:
    kubeconfig: ~/.kube/config
    readers:
      - user: dev.site
        repository: site-content
        namespace: dev
        secrets:
          - site-git-credentials
          - site-git-credentials-staged
        syncers: app.kubernetes.io/component=git-syncer

- name: Revoke all access except that of Argo CD and the operator
  drystone.platform.git_readers:
    kubeconfig: ~/.kube/config
    readers: []

- name: Complete a rotation and show which Pods it waits for
  block:
    - name: Revoke replaced credentials
      drystone.platform.git_readers:
        kubeconfig: ~/.kube/config
        readers: "{{ readers }}"
        timeout: 300
  rescue:
    - name: Show the Pods that have not used the new credential
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
readers:
  description: The credentials with read access after the run, without secret values.
  returned: success
  type: list
  elements: dict
  sample:
    - user: dev.site
      repository: site-content
      auth: ssh
      fingerprint: SHA256:0/w1iYSmQZrg1tPp7dNtz2qmCn0b5fHx74JD3cQps5Y
added:
  description: The credentials that received read access in this run.
  returned: success
  type: list
  elements: dict
  sample: []
withdrawn:
  description: The revoked credentials.
  returned: success
  type: list
  elements: dict
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_readers import Reader, Readers
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import require_cryptography
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "readers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "user": {"type": "str", "required": True},
                    "repository": {"type": "str", "required": True},
                    "namespace": {"type": "str", "required": True},
                    "secrets": {"type": "list", "elements": "str", "required": True, "no_log": False},
                    "syncers": {"type": "str", "default": Reader.syncers},
                },
            },
            "timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    require_cryptography(module)
    params = module.params
    with failing(module):
        outcome = Readers(
            KubeApi.from_kubeconfig(params["kubeconfig"], params["context"]),
            [Reader(**{**reader, "secrets": tuple(reader["secrets"])}) for reader in params["readers"]],
            timeout=params["timeout"],
        ).ensure(module.check_mode)
    before, after = ([one.shown() for one in listed] for listed in (outcome.before, outcome.after))
    succeed(
        module,
        changed=outcome.changed,
        readers=after,
        added=[one.shown() for one in outcome.added],
        withdrawn=[one.shown() for one in outcome.withdrawn],
        diff={
            "before": {"readers": before, "lines_of_others": outcome.tampered},
            "after": {"readers": after, "lines_of_others": False},
        },
    )


if __name__ == "__main__":
    main()
