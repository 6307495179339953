# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kind_cluster
short_description: Create, update and remove a kind cluster
version_added: 1.0.0
description:
  - Creates or updates a kind cluster on the local Docker engine to match the given specification. The module reads the
    node containers and the node objects, makes a plan, and only then changes anything. It returns the plan and shows it
    as a diff.
  - Updates labels and taints of nodes in place, and starts stopped node containers, the control plane first. Some
    settings are fixed when kind creates the cluster (image, number of nodes, published ports, mounts, configuration
    patches). If one of them differs, the module fails and reports the exact difference, unless O(recreate=true).
  - Changes a cluster only if it was created with the same O(state_dir). Before it creates anything, the module writes a
    nonce to that directory. It mounts a file with the nonce in its name into every node, and sets the nonce as the
    label C(drystone.dev/owner) of the network; C(docker inspect) shows both. The module refuses a cluster or a network
    without the nonce, and shows the evidence.
  - If a run is killed while it creates a cluster, the next run removes the incomplete cluster and starts again.
  - Neither reads nor writes the user's kubeconfig. Published ports listen on 127.0.0.1 only.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    details: >-
      While the control plane is stopped, the module cannot read labels and taints, so the prediction does not include
      them.
requirements:
  - docker (command line client)
  - kind >= 0.32
  - PyYAML
options:
  name:
    description:
      - Name of the cluster. The names of the nodes are NAME-control-plane, NAME-worker, NAME-worker2 and so on.
      - It may have up to 49 characters; lower case letters, digits, dots and hyphens.
    type: str
    required: true
  state:
    description:
      - V(present) creates the cluster or updates it to match the specification.
      - V(absent) removes the nodes, the kubeconfig and the module's files in O(state_dir). It removes the network if
        the module created it and nothing else uses it.
      - V(network) writes the nonce and creates the network only, for containers that join it before the nodes do.
      - V(started) starts the existing nodes, regardless of the specification, and writes the kubeconfig if it is
        missing. It does not start the incomplete cluster of an interrupted creation or removal; see RV(interrupted).
    type: str
    choices: [present, absent, network, started]
    default: present
  image:
    description:
      - Node image, which must exist in the engine. An image with another name and other content needs
        O(recreate=true). An image that was rebuilt under the same name does not.
      - Required if O(state=present).
    type: str
  nodes:
    description:
      - The nodes. Exactly one must be a control plane. Required if O(state=present).
    type: list
    elements: dict
    suboptions:
      role:
        description: Role of the node in kind.
        type: str
        choices: [control-plane, worker]
        required: true
      labels:
        description:
          - Labels of the node. The module sets them through the API, so C(node-role.kubernetes.io/worker) is possible,
            which a kubelet may not set on its own node.
          - The module removes labels that it set earlier and that are no longer specified. It keeps all other labels.
          - Of the prefixes that Kubernetes reserves, the module accepts only C(node-role.kubernetes.io),
            C(node.kubernetes.io), C(node-restriction.kubernetes.io), C(kubelet.kubernetes.io),
            C(topology.kubernetes.io/zone) and C(topology.kubernetes.io/region).
        type: dict
        default: {}
      taints:
        description:
          - Taints of the node, managed like labels. Key and effect identify a taint.
        type: list
        elements: dict
        default: []
        suboptions:
          key:
            description: Key of the taint.
            type: str
            required: true
          value:
            description: Value of the taint.
            type: str
            default: ''
          effect:
            description: Effect on pods that don't tolerate the taint.
            type: str
            choices: [NoSchedule, PreferNoSchedule, NoExecute]
            required: true
  network:
    description:
      - Docker network of the nodes, O(name) by default. If it does not exist, the module creates it with the labels
        C(drystone.dev/cluster) and C(drystone.dev/owner) and the MTU of the engine's default network.
    type: str
  api_port:
    description:
      - Port of the API server on 127.0.0.1. Required if O(state=present).
    type: int
  port_mappings:
    description:
      - Ports of the control plane that are published on 127.0.0.1. This is sufficient for NodePorts, which answer on
        every node.
    type: list
    elements: dict
    default: []
    suboptions:
      container_port:
        description: Port in the node.
        type: int
        required: true
      host_port:
        description: Port on the host.
        type: int
        required: true
      protocol:
        description: Protocol of the port.
        type: str
        choices: [TCP, UDP, SCTP]
        default: TCP
  mounts:
    description:
      - Host paths to mount into every node. They must exist, except for directories that the module creates for
        O(mounts[].files).
    type: list
    elements: dict
    default: []
    suboptions:
      host_path:
        description: Absolute path on the host.
        type: path
        required: true
      container_path:
        description: Absolute path in the node.
        type: str
        required: true
      read_only:
        description: Whether the node may only read it.
        type: bool
        default: false
      files:
        description:
          - Files to write below O(mounts[].host_path) with mode 0644. Each key is a relative path, each value the
            content.
          - The module keeps files that are no longer specified, also when it removes the cluster.
        type: dict
        default: {}
  kubeconfig:
    description:
      - File for the kubeconfig of this cluster only, mode 0600. The module refuses F(~/.kube/config) and any file that
        contains other clusters.
    type: path
    required: true
  state_dir:
    description:
      - Directory for the owner nonce, the lock and the record of the creation. It must survive reboots, because the
        module treats a cluster without this directory as foreign.
    type: path
    required: true
  kind_binary:
    description:
      - Name or path of the kind program.
    type: str
    default: kind
  kubeadm_config_patches:
    description:
      - Merge patches for kubeadm's configuration objects, each with its C(kind). Omit C(apiVersion), so that the patch
        works with every version of Kubernetes.
    type: list
    elements: dict
    default: []
  containerd_config_patches:
    description:
      - TOML documents to merge into the nodes' containerd configuration.
    type: list
    elements: str
    default: []
  prefetch:
    description:
      - Images that nodes pull while kubeadm still runs, through F(/etc/containerd/certs.d) of the node. This only saves
        time; an image that a node cannot pull causes a warning.
    type: list
    elements: dict
    default: []
    suboptions:
      reference:
        description: Reference of the image.
        type: str
        required: true
      nodes:
        description: The nodes that pull the image.
        type: str
        choices: [all, control-plane, worker]
        default: worker
      labels:
        description: Restricts these nodes to those that are specified with all of these labels.
        type: dict
        default: {}
  recreate:
    description:
      - Whether the module may recreate the cluster if a difference needs it. All data in the cluster is lost.
    type: bool
    default: false
  create_timeout:
    description:
      - Seconds that kind may take to create the cluster.
    type: int
    default: 600
  api_timeout:
    description:
      - Seconds to wait until the API server answers and lists all nodes.
    type: int
    default: 120
  lock_timeout:
    description:
      - Seconds to wait for another run on the same cluster.
    type: int
    default: 60
  prefetch_timeout:
    description:
      - Seconds to wait for pulls after the cluster was created. Pulls that take longer continue in the background.
    type: int
    default: 30
seealso:
  - module: drystone.platform.cluster_ready
"""

EXAMPLES = r"""
- name: Create a cluster of three nodes
  drystone.platform.kind_cluster:
    name: example
    image: kindest/node:v1.36.1
    api_port: 16443
    kubeconfig: "{{ ansible_facts['env']['HOME'] }}/.local/state/example/kubeconfig"
    state_dir: "{{ ansible_facts['env']['HOME'] }}/.local/state/example"
    nodes:
      - role: control-plane
      - role: worker
        labels:
          node-role.kubernetes.io/worker: ""
          example.com/pool: apps
      - role: worker
        labels:
          node-role.kubernetes.io/worker: ""
          example.com/pool: platform
        taints:
          - {key: example.com/pool, value: platform, effect: PreferNoSchedule}
    port_mappings:
      - {host_port: 8080, container_port: 30080}

- name: Create a cluster whose nodes pull from a local registry, some images while kubeadm runs
  drystone.platform.kind_cluster:
    name: example
    image: kindest/node:v1.36.1
    api_port: 16443
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example
    nodes: "{{ example_nodes }}"
    mounts:
      - host_path: /var/lib/example/certs.d
        container_path: /etc/containerd/certs.d
        read_only: true
        files:
          registry.example.com/hosts.toml: |
            server = "http://example-registry:5000"
    kubeadm_config_patches:
      - kind: KubeletConfiguration
        serializeImagePulls: false
    prefetch:
      - reference: registry.example.com/web:1.0.0
        labels: {example.com/pool: apps}

- name: Use another node image and lose all data in the cluster
  drystone.platform.kind_cluster:
    name: example
    image: kindest/node:v1.37.0
    api_port: 16443
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example
    nodes: "{{ example_nodes }}"
    recreate: true

- name: Create the network, which a registry joins first
  drystone.platform.kind_cluster:
    name: example
    state: network
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example

- name: Start a cluster that was stopped, before its data is saved
  drystone.platform.kind_cluster:
    name: example
    state: started
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example
  register: example_nodes_started

- name: Remove the cluster
  drystone.platform.kind_cluster:
    name: example
    state: absent
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example
"""

RETURN = r"""
plan:
  description:
    - The steps of the run, in check mode those that a run would take. Empty if the cluster matches the specification.
      If the module refuses to continue, the steps that would be necessary.
  returned: always, except for errors before planning
  type: list
  elements: dict
  contains:
    class:
      description: The kind of step; C(in_place), C(create), C(start), C(recreate), C(remove) or C(refuse).
      type: str
    action:
      description: The step.
      type: str
    target:
      description: The object that the step changes.
      type: str
    reason:
      description: The observation that makes the step necessary.
      type: str
  sample:
    - {class: in_place, action: patch_node, target: example-worker, reason: label +example.com/pool=apps}
kubeconfig:
  description: Path of the kubeconfig.
  returned: success
  type: str
  sample: /var/lib/example/kubeconfig
context:
  description: Name of the cluster's context in the kubeconfig.
  returned: success
  type: str
  sample: kind-example
node_names:
  description: Names of the specified nodes. With O(state=started), names of the existing nodes.
  returned: when O(state=present) or O(state=started)
  type: list
  elements: str
  sample: [example-control-plane, example-worker, example-worker2]
interrupted:
  description:
    - V(create) or V(delete) if a run was killed during this operation, so that the cluster is incomplete; else
      empty.
  returned: when O(state=started)
  type: str
  sample: ""
prefetch:
  description: The results of pulling images while kubeadm ran.
  returned: when O(state=present)
  type: list
  elements: dict
  sample:
    - {node: example-worker, reference: "registry.example.com/web:1.0.0", seconds: 4.2, error: ""}
kept:
  description: Objects that remain after the cluster was removed, each with the reason.
  returned: when O(state=absent)
  type: list
  elements: str
  sample: ["network example: in use by containers 0123456789ab"]
containers:
  description: The containers of a foreign cluster with this name.
  returned: if there is a foreign cluster
  type: list
  elements: dict
problems:
  description: Every error in the specification.
  returned: if there are errors
  type: list
  elements: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._command import end_with_commands
from ansible_collections.drystone.platform.plugins.module_utils._kind.argspec import argument_spec
from ansible_collections.drystone.platform.plugins.module_utils._kind.cluster import KindCluster
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import (
    Docker,
    Kind,
    find_program,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.outcome import Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.removal import Removal
from ansible_collections.drystone.platform.plugins.module_utils._kind.start import make_network, start
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState
from ansible_collections.drystone.platform.plugins.module_utils._kind.validate import parse, require_name
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Update the cluster to the requested state, and return the result."""
    params = {**module.params, "network": module.params["network"] or module.params["name"]}
    require_name(params["name"])
    spec = parse(params) if params["state"] == "present" else None
    docker = Docker(find_program("docker", "PATH"))
    timeouts = {key: params[key] for key in ("create_timeout", "api_timeout", "lock_timeout", "prefetch_timeout")}
    settings = Settings(Path(params["kubeconfig"]), recreate=params["recreate"], **timeouts)
    kind, state = Kind(params["kind_binary"]), ClusterState(Path(params["state_dir"]))
    name, network, check = params["name"], params["network"], module.check_mode
    more: dict[str, t.Any] = {}
    if spec:
        outcome = KindCluster(docker, kind, state, settings).present(spec, check)
        more["node_names"] = [node.name for node in spec.nodes]
        more["prefetch"] = [one.to_dict() for one in outcome.prefetch]
    elif params["state"] == "network":
        outcome = make_network(docker, state, settings, name, network, check)
    elif params["state"] == "started":
        outcome, more = start(docker, kind, state, settings, name, network, check)
    else:
        outcome = Removal(docker, state, settings).run(name, network, check)
        more["kept"] = outcome.kept
    for one in outcome.prefetch:
        if one.error:
            module.warn(f"Prefetching {one.reference or 'images'} on {one.node}: {one.error}")
    return {
        "changed": outcome.changed,
        "plan": [one.to_dict() for one in outcome.plan],
        "diff": {"before": outcome.before, "after": outcome.after},
        "kubeconfig": params["kubeconfig"],
        "context": f"kind-{params['name']}",
        **more,
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_if=[("state", "present", ("image", "nodes", "api_port"))],
        supports_check_mode=True,
    )
    end_with_commands()
    with failing(module):
        result = run(module)
    succeed(module, **result)


if __name__ == "__main__":
    main()
