# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubelet_csr_approve
short_description: Approve the serving certificates that kubelets ask for
version_added: 1.0.0
description:
  - A kubelet with C(serverTLSBootstrap) asks the cluster to sign the certificate it serves with, and has none until
    somebody approves. No controller of Kubernetes does, because only an approver can know which addresses are the
    node's own.
  - Approves a request only if its signer is C(kubernetes.io/kubelet-serving), its requestor is C(system:node:<name>) in
    the group C(system:nodes), its subject is the same, it names nothing but addresses that the Node of that name has,
    and its usages are those of a server.
  - Every other request for that signer is left pending for somebody else to judge and told with what speaks against
    it. Requests for other signers are not looked at.
  - Then it waits until every kubelet answers through the API server, which it does only with a certificate.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: Tells which requests it would approve, and does not wait.
requirements:
  - cryptography
options:
  nodes:
    description:
      - Names of the nodes whose kubelets may be given a certificate and are waited for. Without it all nodes.
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
- name: Approve what the kubelets of a new cluster ask for
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig

- name: Approve for a node that was added
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    nodes: [drystone-dev-worker3]
    timeout: 120

- name: See what would be approved, and what would not and why
  drystone.platform.kubelet_csr_approve:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
  check_mode: true
  register: requests
"""

RETURN = r"""
approved:
  description: The requests that were approved, or would be in check mode.
  returned: success, and failure of the wait
  type: list
  elements: dict
  contains:
    name:
      description: Name of the CertificateSigningRequest.
      returned: always
      type: str
    node:
      description: The node it is for.
      returned: always
      type: str
  sample:
    - name: csr-8hq2v
      node: drystone-dev-worker
refused:
  description: The requests that were left pending. Each is a warning, too.
  returned: success, and failure of the wait
  type: list
  elements: dict
  contains:
    name:
      description: Name of the CertificateSigningRequest.
      returned: always
      type: str
    requestor:
      description: Who made it.
      returned: always
      type: str
    reasons:
      description: Everything that speaks against it.
      returned: always
      type: list
      elements: str
  sample:
    - name: csr-x9rtz
      requestor: system:node:drystone-dev-worker
      reasons:
        - "it names 10.0.0.1, which is no address of Node drystone-dev-worker (those are: 172.20.0.3)"
answering:
  description: The nodes whose kubelets answer.
  returned: success, and failure of the wait
  type: list
  elements: str
  sample: [drystone-dev-control-plane, drystone-dev-worker, drystone-dev-worker2]
waiting:
  description: The nodes whose kubelets do not answer.
  returned: failure of the wait
  type: list
  elements: str
  sample: [drystone-dev-worker]
"""

import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._policy.kubelet_csr import CRYPTOGRAPHY_ERROR, Approver


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
    if CRYPTOGRAPHY_ERROR:
        trace = "".join(traceback.format_exception(CRYPTOGRAPHY_ERROR))
        module.fail_json(msg=missing_required_lib("cryptography"), exception=trace)
    params = module.params
    try:
        approver = Approver(
            KubeApi.from_kubeconfig(params["kubeconfig"], params["context"]),
            nodes=params["nodes"],
            check=module.check_mode,
            clock=time.monotonic,
            sleep=time.sleep,
        )
        outcome = approver.run(params["timeout"])
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    for one in outcome.refused:
        module.warn(
            f"Serving certificate {one['name']} of {one['requestor']} is not approved: {'; '.join(one['reasons'])}"
        )
    module.exit_json(
        changed=bool(outcome.approved),
        diff={
            "before": {"pending": [one["name"] for one in outcome.approved]},
            "after": {"pending": []},
        },
        **approver.facts(),
    )


if __name__ == "__main__":
    main()
