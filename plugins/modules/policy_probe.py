# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: policy_probe
short_description: Find out whether network policies are enforced
version_added: 1.0.0
description:
  - That a NetworkPolicy exists proves nothing. A network plugin may ignore it, or fail open on a kernel that lacks
    something. This module tries connections, those that policies forbid above all, and says what happened.
  - Each connection is tried from a short-lived pod of its own in the namespace it starts from, one pod for each such
    namespace. The pods have no rights, meet the Pod Security level V(restricted), belong to no Service and are removed
    afterwards, those that a killed run left behind, too.
  - The pods start when it is known where their connections go, wait until that is ready, and try them when they are
    deleted, so that nothing has to be told to them.
  - A connection whose Service has nothing ready behind it, even after O(ready_timeout), is not tried. A forbidden
    connection counts as stopped only if something else could be reached from the same pod.
  - That policies are not enforced is told and is no failure unless O(require_enforcement). It is always a failure that
    only some forbidden connections are stopped, or that one which should be possible is not.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    support: partial
    details: Skips the task in check mode and says so, as trying needs pods.
  diff_mode:
    support: none
    details: Nothing is different afterwards.
options:
  connections:
    description:
      - The connections to try.
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
        description: The Service it goes to.
        type: str
        required: true
      port:
        description: TCP port of that Service.
        type: int
        required: true
      expected:
        description: What the policies say of it.
        type: str
        choices: [allowed, denied]
        required: true
  image:
    description:
      - Image of the pods. It must have C(python3).
    type: str
    required: true
  settle:
    description:
      - Seconds for which a pod tries a forbidden connection again that goes through. A network plugin needs a moment to
        learn of a new pod.
      - What is refused or not reached is tried for 10 seconds, as every node needs a moment to learn what is ready.
    type: float
    default: 3
  timeout:
    description:
      - Seconds, once everything is ready, after which pods that have not finished are given up, and the module fails.
    type: int
    default: 60
  ready_timeout:
    description:
      - Seconds to wait for namespaces, Services and something that is ready behind each of them. What is not there then
        is not tried.
    type: int
    default: 0
  require_enforcement:
    description:
      - Whether it is a failure that policies are not enforced, or that nothing could be found out.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: See whether the development environment is kept from the API server
  drystone.platform.policy_probe:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    image: drystone.local/greeter:1.0.0
    connections:
      - {source: dev, namespace: kube-system, service: kube-dns, port: 53, expected: allowed}
      - {source: dev, namespace: default, service: kubernetes, port: 443, expected: denied}
  register: probe

- name: Say it
  ansible.builtin.debug:
    msg: "{{ probe.message }}"

- name: Fail where environments can reach each other
  drystone.platform.policy_probe:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    image: drystone.local/greeter:1.0.0
    require_enforcement: true
    connections:
      - {source: dev, namespace: dev, service: greeter, port: 8000, expected: allowed}
      - {source: dev, namespace: production, service: greeter, port: 8000, expected: denied}
"""

RETURN = r"""
enforcement:
  description: V(enforced), V(not_enforced), V(partial) or V(unknown).
  returned: when connections were tried
  type: str
  sample: not_enforced
message:
  description: The same as a sentence, with the connections that matter.
  returned: success
  type: str
  sample: "Network policies ARE enforced: all of 12 forbidden connections were stopped."
blocked:
  description: Connections that should be possible and are not.
  returned: when connections were tried
  type: list
  elements: str
  sample: []
connections:
  description: What was seen of each connection.
  returned: when connections were tried
  type: list
  elements: dict
  contains:
    source:
      description: Namespace it started from.
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
      description: What the policies say of it.
      returned: always
      type: str
    address:
      description: Address that was tried.
      returned: always
      type: str
    seen:
      description: V(reached), V(timeout), V(refused), C(unreachable) with a reason, or V(not tried).
      returned: always
      type: str
    reason:
      description: Why it was not tried or means nothing; empty otherwise.
      returned: always
      type: str
"""

import time
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
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
                    "service": needed,
                    "port": {"type": "int", "required": True},
                    "expected": {**needed, "choices": ["allowed", "denied"]},
                },
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
        text = "Check mode: whether network policies are enforced was not tried, as that needs pods."
        module.exit_json(changed=False, skipped=True, msg=text, message=text)
    connections = [Connection(**one) for one in params["connections"]]
    try:
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
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
