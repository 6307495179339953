# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_csr_approve
short_description: Approve the serving certificates that kubelets request
version_added: 1.0.0
description:
  - A kubelet with C(serverTLSBootstrap) requests its serving certificate from the cluster and has none until somebody
    approves the request. No controller of Kubernetes approves it, because Kubernetes cannot know which addresses belong
    to the node.
  - Approves a request only if all of these conditions hold. Its signer is C(kubernetes.io/kubelet-serving). Its
    requestor is C(system:node:<name>) in the group C(system:nodes), and its subject is the same. It contains only
    addresses of the Node with that name. Its usages are those of a server.
  - Leaves every other request for that signer pending and reports the reasons. Ignores requests for other signers.
  - Then waits until every kubelet answers through the API server, which works only with a certificate.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: The module returns the requests that a run would approve, and does not wait.
requirements:
  - cryptography
options:
  nodes:
    description:
      - Names of the nodes whose requests the module approves and whose kubelets it waits for. By default all nodes.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds to wait until every kubelet answers.
    type: int
    default: 60
seealso:
  - module: drystone.platform.kind_cluster
"""

EXAMPLES = r"""
- name: Approve the requests of a new cluster's kubelets
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig

- name: Approve the request of a new node
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    nodes: [drystone-dev-worker3]
    timeout: 120

- name: Show which requests would be approved or refused, with the reasons
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
  check_mode: true
  register: requests
"""

RETURN = r"""
approved:
  description: The approved requests, in check mode those that a run would approve.
  returned: success, and failure of the wait
  type: list
  elements: dict
  contains:
    name:
      description: Name of the CertificateSigningRequest.
      returned: always
      type: str
    node:
      description: The node that gets the certificate.
      returned: always
      type: str
  sample:
    - name: csr-8hq2v
      node: drystone-dev-worker
refused:
  description: The requests that stay pending. The module also warns about each of them.
  returned: success, and failure of the wait
  type: list
  elements: dict
  contains:
    name:
      description: Name of the CertificateSigningRequest.
      returned: always
      type: str
    requestor:
      description: The user that created the request.
      returned: always
      type: str
    reasons:
      description: All reasons against the approval.
      returned: always
      type: list
      elements: str
  sample:
    - name: csr-x9rtz
      requestor: system:node:drystone-dev-worker
      reasons:
        - "it names 10.0.0.1, which is no address of Node drystone-dev-worker (those are: 172.20.0.3)"
answering:
  description: Nodes whose kubelets answer.
  returned: success, and failure of the wait
  type: list
  elements: str
  sample: [drystone-dev-control-plane, drystone-dev-worker, drystone-dev-worker2]
waiting:
  description: Nodes whose kubelets do not answer.
  returned: failure of the wait
  type: list
  elements: str
  sample: [drystone-dev-worker]
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._cryptography import require_cryptography
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._policy.kubelet_csr import Approver


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "nodes": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    require_cryptography(module)
    params = module.params
    with failing(module):
        approver = Approver(
            KubeApi.from_kubeconfig(params["kubeconfig"], params["context"]),
            nodes=params["nodes"],
            check=module.check_mode,
            clock=time.monotonic,
            sleep=time.sleep,
        )
        outcome = approver.run(params["timeout"])
    for one in outcome.refused:
        module.warn(
            f"Serving certificate {one['name']} of {one['requestor']} is not approved: {'; '.join(one['reasons'])}"
        )
    succeed(
        module,
        changed=bool(outcome.approved),
        diff={
            "before": {"pending": [one["name"] for one in outcome.approved]},
            "after": {"pending": []},
        },
        **approver.facts(),
    )


if __name__ == "__main__":
    main()
