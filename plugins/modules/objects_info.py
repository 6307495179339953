# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: objects_info
short_description: Read objects of a cluster
version_added: 1.0.0
author:
  - The Drystone authors (!UNKNOWN)
description:
  - Returns the objects of a kind. If the API server does not answer, the module fails and never returns an empty list.
    A play can therefore rely on the absence of an object.
  - Does not return the data and annotations of Secrets.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: Nothing is ever changed.
  diff_mode:
    support: none
    details: Nothing is ever changed.
options:
  api_version:
    description: API version, such as V(v1) or V(apps/v1).
    type: str
    default: v1
  kind:
    description: Kind, such as V(Service).
    type: str
    required: true
  namespaces:
    description: Namespaces of the objects. Without a list, the module returns objects of all namespaces and
      cluster-scoped objects.
    type: list
    elements: str
    default: []
  name:
    description: Name of one object. Requires O(namespaces), unless the kind is cluster-scoped.
    type: str
  selector:
    description: Label selector in the syntax of kubectl.
    type: str
seealso:
  - module: drystone.platform.cluster_ready
"""

EXAMPLES = r"""
- name: List the Services of two environments
  drystone.platform.objects_info:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    kind: Service
    namespaces: [dev, staging]
  register: services

- name: See whether a claim is there
  drystone.platform.objects_info:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    kind: PersistentVolumeClaim
    namespaces: [git]
    name: git-server
  register: claim

- name: Go on without a cluster that does not answer
  drystone.platform.objects_info:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    api_version: apps/v1
    kind: Deployment
    selector: app.kubernetes.io/part-of=drystone
  register: deployments
  failed_when: deployments is failed and 'no answer' not in deployments.msg
"""

RETURN = r"""
objects:
  description: The objects as the API server returns them, without C(managedFields).
  returned: success
  type: list
  elements: dict
  sample:
    - {apiVersion: v1, kind: Service, metadata: {name: greeter, namespace: dev}, spec: {ports: [{port: 8000}]}}
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.read import read
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "api_version": {"type": "str", "default": "v1"},
            "kind": {"type": "str", "required": True},
            "namespaces": {"type": "list", "elements": "str", "default": []},
            "name": {"type": "str"},
            "selector": {"type": "str"},
        },
        mutually_exclusive=[("name", "selector")],
        supports_check_mode=True,
    )
    params = module.params
    with failing(module):
        api = KubeApi.from_kubeconfig(params["kubeconfig"], params["context"])
        found = read(
            api,
            params["api_version"],
            params["kind"],
            namespaces=params["namespaces"],
            name=params["name"] or "",
            selector=params["selector"] or "",
        )
    succeed(module, changed=False, objects=found)


if __name__ == "__main__":
    main()
