# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: git_readers
short_description: Say who may read which repository of the Git server in the cluster
version_added: 1.0.0
author:
  - The Drystone authors (@drystone)
description:
  - Lets in whatever credentials lie in the given Secrets, each for one repository and for reading, and nothing else.
    The Git server is that of the role C(git_server).
  - Of an SSH key (C(ssh) of a Secret) the server gets the public half with a forced command, in ConfigMap
    C(git/git-server-readers). Of a token (C(password) of a Secret) it gets the SHA-256 sum, in Secret
    C(git/git-server-https-readers).
  - A credential that was replaced is withdrawn only once the reader's O(readers[].syncers) have used its successor, as
    the server's log tells. Until then both work, so there is no moment without one that does.
  - The credentials of readers that are not listed any more are withdrawn at once.
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
        description: Name of the reader; over HTTPS it is the user name.
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
        description: Names of the Secrets. Those that do not exist, yet or any more, are left out.
        type: list
        elements: str
        required: true
      syncers:
        description: Label selector of the Pods that read the repository again and again.
        type: str
        default: ""
  timeout:
    description: Seconds in which the syncers have to use new credentials before the old ones are withdrawn.
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

- name: Let nobody in but Argo CD and the operator
  drystone.platform.git_readers:
    kubeconfig: ~/.kube/config
    readers: []

- name: Say what a rotation waits for
  block:
    - name: Withdraw what was replaced
      drystone.platform.git_readers:
        kubeconfig: ~/.kube/config
        readers: "{{ readers }}"
        timeout: 300
  rescue:
    - name: Name the Pods that still use the old credential
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result.msg }}"
"""

RETURN = r"""
readers:
  description: The credentials that may read afterwards, or would in check mode, each with what may be told of it.
  returned: success
  type: list
  elements: dict
  sample:
    - user: dev.site
      repository: site-content
      auth: ssh
      fingerprint: SHA256:0/w1iYSmQZrg1tPp7dNtz2qmCn0b5fHx74JD3cQps5Y
added:
  description: Those of them that could not read before.
  returned: success
  type: list
  elements: dict
  sample: []
withdrawn:
  description: The credentials that cannot read any more.
  returned: success
  type: list
  elements: dict
  sample: []
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._credentials.git_readers import Reader, Readers
from ansible_collections.drystone.platform.plugins.module_utils._credentials.ssh_key import CRYPTOGRAPHY_ERROR
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi


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
                    "syncers": {"type": "str", "default": ""},
                },
            },
            "timeout": {"type": "int", "default": 180},
        },
        supports_check_mode=True,
    )
    if CRYPTOGRAPHY_ERROR:
        trace = "".join(traceback.format_exception(CRYPTOGRAPHY_ERROR))
        module.fail_json(msg=missing_required_lib("cryptography"), exception=trace)
    params = module.params
    try:
        outcome = Readers(
            KubeApi.from_kubeconfig(params["kubeconfig"], params["context"]),
            [Reader(**{**reader, "secrets": tuple(reader["secrets"])}) for reader in params["readers"]],
            timeout=params["timeout"],
        ).ensure(module.check_mode)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    before, after = ([one.shown() for one in listed] for listed in (outcome.before, outcome.after))
    module.exit_json(
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
