# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_probe
short_description: Check whether network policies are enforced
version_added: 1.0.0
description:
  - Checks the enforcement of network policies with test connections, mainly with forbidden ones. The existence of a
    NetworkPolicy proves nothing, because a network plugin may ignore it or fail open if the kernel lacks a feature.
  - Creates one short-lived pod in each namespace from which a connection starts. The pods have no permissions, meet the
    Pod Security level V(restricted) and belong to no Service. The module removes them afterwards, including pods of a
    killed run.
  - The pods start when the addresses of their targets are known. They wait until the targets are ready, and test the
    connections when the module deletes them. Therefore nothing has to be sent to a running pod.
  - Does not test a connection whose Service has no ready endpoint after O(ready_timeout). A forbidden connection counts
    as blocked only if the same pod can reach another target.
  - If policies are not enforced, the module reports it, and fails only with O(require_enforcement). It is always an
    error if an allowed connection is blocked or if only some forbidden ones are.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    support: partial
    details: In check mode the module skips the task and reports it, because a test needs pods.
  diff_mode:
    support: none
    details: The module changes nothing permanently.
options:
  connections:
    description:
      - The connections to test.
    type: list
    elements: dict
    required: true
    suboptions:
      source:
        description: Namespace the connection starts from.
        type: str
        required: true
      namespace:
        description: Namespace of the Service it goes to.
        type: str
        required: true
      service:
        description:
          - The Service to which the connection goes.
          - Without it, the connection goes to the first Service of the namespace (by name) that has an address.
        type: str
      port:
        description: TCP port of O(connections[].service). Without a Service, the first TCP port of the chosen Service.
        type: int
      expected:
        description: Whether the policies allow the connection.
        type: str
        choices: [allowed, denied]
        required: true
  image:
    description:
      - Image of the pods. It must contain C(python3).
    type: str
    required: true
  settle:
    description:
      - Seconds for which a pod repeats a forbidden connection that succeeds, because a network plugin needs time to
        notice a new pod.
      - A pod repeats a refused or failed connection for 10 seconds, because each node needs time to notice endpoints.
    type: float
    default: 3
  timeout:
    description:
      - Seconds that the pods may take after everything is ready. After that the module fails.
    type: int
    default: 60
  ready_timeout:
    description:
      - Seconds to wait for namespaces, Services and a ready endpoint of each Service. The module does not test
        connections whose target is missing after that.
    type: int
    default: 0
  require_enforcement:
    description:
      - Whether the module fails if policies are not enforced or if it cannot find this out.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Check whether policies block the development environment from the API server
  drystone.platform.policy_probe:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    image: drystone.local/greeter:1.0.0
    connections:
      - {source: dev, namespace: kube-system, service: kube-dns, port: 53, expected: allowed}
      - {source: dev, namespace: default, service: kubernetes, port: 443, expected: denied}
  register: probe

- name: Show the result
  ansible.builtin.debug:
    msg: "{{ probe.message }}"

- name: Fail if environments can reach each other
  drystone.platform.policy_probe:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    image: drystone.local/greeter:1.0.0
    require_enforcement: true
    connections:
      - {source: dev, namespace: dev, service: greeter, port: 8000, expected: allowed}
      - {source: dev, namespace: production, expected: denied}
"""

RETURN = r"""
enforcement:
  description: V(enforced), V(not_enforced), V(partial) or V(unknown).
  returned: when connections were tested
  type: str
  sample: not_enforced
message:
  description: The result as a sentence, with the relevant connections.
  returned: success
  type: str
  sample: "Network policies ARE enforced: all 12 forbidden connections were blocked."
blocked:
  description: Allowed connections that are blocked.
  returned: when connections were tested
  type: list
  elements: str
  sample: []
connections:
  description: The result of each connection.
  returned: when connections were tested
  type: list
  elements: dict
  contains:
    source:
      description: Namespace from which the connection started.
      returned: always
      type: str
    namespace:
      description: Namespace of the Service.
      returned: always
      type: str
    service:
      description: The Service.
      returned: always
      type: str
    port:
      description: The port.
      returned: always
      type: int
    expected:
      description: Whether the policies allow the connection.
      returned: always
      type: str
    address:
      description: Address of the connection.
      returned: always
      type: str
    seen:
      description: V(reached), V(timeout), V(refused), C(unreachable) with a reason, or V(not tried).
      returned: always
      type: str
    reason:
      description: Why the connection was not tested or its result means nothing; empty otherwise.
      returned: always
      type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._policy.probe import Connection, Probe, require, verdict


def main() -> None:
    """Run the module."""
    needed: dict[str, t.Any] = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "connections": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "source": needed,
                    "namespace": needed,
                    "service": {"type": "str"},
                    "port": {"type": "int"},
                    "expected": {**needed, "choices": ["allowed", "denied"]},
                },
                "required_together": [("service", "port")],
            },
            "image": needed,
            "settle": {"type": "float", "default": 3},
            "timeout": {"type": "int", "default": 60},
            "ready_timeout": {"type": "int", "default": 0},
            "require_enforcement": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    if module.check_mode:
        text = "Check mode: the enforcement of network policies was not tested, because this requires pods."
        succeed(module, changed=False, skipped=True, msg=text, message=text)
    connections = [Connection(**{k: v for k, v in one.items() if v is not None}) for one in params["connections"]]
    with failing(module):
        Probe(
            KubeApi.from_kubeconfig(params["kubeconfig"], params["context"]),
            connections,
            image=params["image"],
            settle=params["settle"],
            timeout=params["timeout"],
            ready_timeout=params["ready_timeout"],
            clock=time.monotonic,
            sleep=time.sleep,
        ).run()
        found = verdict(connections)
        require(found, enforcement=params["require_enforcement"])
    succeed(module, changed=False, **found)


if __name__ == "__main__":
    main()
