# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kind_cluster
short_description: Create, keep and remove a kind cluster
version_added: 1.0.0
description:
  - Brings a kind cluster on the Docker engine of this host to what is described. It reads the node containers and the
    node objects, plans, and only then changes anything; the plan is returned and shown as a diff.
  - Labels and taints of nodes change in place. Stopped node containers are started again, the control plane first.
    What kind settles at creation (image, number of nodes, published ports, mounts, configuration patches) is never
    changed silently. The module fails with the exact difference unless O(recreate=true).
  - A cluster is touched only if it was made with the same O(state_dir). Before anything is created a nonce is written
    there, and a file with the nonce in its name is mounted into every node, where C(docker inspect) shows it.
  - If a run is killed in the middle of a creation, the next one removes what is there of it and begins again.
  - The kubeconfig of the user is neither read nor written. Published ports listen on 127.0.0.1 only.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
attributes:
  check_mode:
    details: While the control plane is stopped, labels and taints can't be read and are left out of the prediction.
requirements:
  - docker (command line client)
  - kind >= 0.32
  - PyYAML
options:
  name:
    description:
      - Name of the cluster. The nodes are called NAME-control-plane, NAME-worker, NAME-worker2 and so on.
      - At most 49 characters; lower case letters, digits, dots and hyphens.
    type: str
    required: true
  state:
    description:
      - Whether the cluster is to be there.
      - V(absent) removes the nodes, the network if it was made here and nothing else uses it, the kubeconfig and the
        files of the module in O(state_dir).
    type: str
    choices: [present, absent]
    default: present
  image:
    description:
      - Node image; the engine must have it. An image of another name and other content is a difference that needs
        O(recreate=true), one that was built again under the same name is not.
      - Required if O(state=present).
    type: str
  nodes:
    description:
      - The nodes, exactly one of them a control plane. Required if O(state=present).
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
          - Labels of the node. They are set through the API, so that C(node-role.kubernetes.io/worker) is possible,
            which a kubelet may not give itself.
          - Labels that were set here once and are described no more are removed. All others are left alone.
          - Of the prefixes that Kubernetes reserves only C(node-role.kubernetes.io), C(node.kubernetes.io),
            C(node-restriction.kubernetes.io), C(kubelet.kubernetes.io), C(topology.kubernetes.io/zone) and
            C(topology.kubernetes.io/region) are accepted.
        type: dict
        default: {}
      taints:
        description:
          - Taints of the node, treated like labels; key and effect identify one.
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
      - Docker network of the nodes, O(name) by default. It is created with the label
        C(drystone.dev/cluster=NAME) if there is none.
    type: str
  api_port:
    description:
      - Port of the API server on 127.0.0.1. Required if O(state=present).
    type: int
  port_mappings:
    description:
      - Ports of the control plane that are published on 127.0.0.1; a NodePort answers on every node.
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
      - Paths of the host that are mounted into every node. They must exist, unless they are directories made for
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
          - Files that are kept below O(mounts[].host_path), mode 0644; path relative to it, and content.
          - Files that are described no more stay, as they do when the cluster goes.
        type: dict
        default: {}
  kubeconfig:
    description:
      - File for the kubeconfig of this cluster alone, mode 0600. F(~/.kube/config) is refused, and so is a file with
        other clusters in it.
    type: path
    required: true
  state_dir:
    description:
      - Directory of the owner nonce, the lock and the record of the creation. Without it the cluster counts as
        somebody else's, so it belongs on a disk that survives reboots.
    type: path
    required: true
  kind_binary:
    description:
      - The kind program, by name or path.
    type: str
    default: kind
  kubeadm_config_patches:
    description:
      - Merge patches for kubeadm's configuration objects, each with its C(kind). Leave out C(apiVersion), so that the
        patch fits every version of Kubernetes.
    type: list
    elements: dict
    default: []
  containerd_config_patches:
    description:
      - TOML documents that are merged into the nodes' containerd configuration.
    type: list
    elements: str
    default: []
  prefetch:
    description:
      - Images that nodes pull while kubeadm still runs, through F(/etc/containerd/certs.d) of the node. It saves time
        and decides nothing; what can't be pulled is a warning.
    type: list
    elements: dict
    default: []
    suboptions:
      reference:
        description: Reference of the image.
        type: str
        required: true
      nodes:
        description: Which nodes pull it.
        type: str
        choices: [all, control-plane, worker]
        default: worker
      labels:
        description: Of those, only nodes that are described with all of these labels.
        type: dict
        default: {}
  recreate:
    description:
      - Whether the cluster, and all data in it, may be removed and made again where a difference needs it.
    type: bool
    default: false
  create_timeout:
    description:
      - Seconds that kind may take to create the cluster.
    type: int
    default: 600
  api_timeout:
    description:
      - Seconds that the API server may take to answer and to know all nodes.
    type: int
    default: 120
  lock_timeout:
    description:
      - Seconds to wait for another run on the same cluster.
    type: int
    default: 60
  prefetch_timeout:
    description:
      - Seconds that pulls may still take once the cluster is there. Those that don't end go on by themselves.
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

- name: Take another node image, at the price of everything in the cluster
  drystone.platform.kind_cluster:
    name: example
    image: kindest/node:v1.37.0
    api_port: 16443
    kubeconfig: /var/lib/example/kubeconfig
    state_dir: /var/lib/example
    nodes: "{{ example_nodes }}"
    recreate: true

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
    - The steps that were taken, or would be in check mode; empty if the cluster is as described. If the module refuses
      to go on, the steps that it would need.
  returned: always, except for errors before planning
  type: list
  elements: dict
  contains:
    class:
      description: What the step costs; C(in_place), C(create), C(start), C(recreate), C(remove) or C(refuse).
      type: str
    action:
      description: The step.
      type: str
    target:
      description: What it is done to.
      type: str
    reason:
      description: What was seen that makes it necessary.
      type: str
  sample:
    - {class: in_place, action: patch_node, target: example-worker, reason: label +example.com/pool=apps}
kubeconfig:
  description: Path of the kubeconfig.
  returned: success
  type: str
  sample: /var/lib/example/kubeconfig
context:
  description: Name of the cluster's context in it.
  returned: success
  type: str
  sample: kind-example
node_names:
  description: Names of the described nodes.
  returned: when O(state=present)
  type: list
  elements: str
  sample: [example-control-plane, example-worker, example-worker2]
prefetch:
  description: What became of the images pulled while kubeadm ran.
  returned: when O(state=present)
  type: list
  elements: dict
  sample:
    - {node: example-worker, reference: "registry.example.com/web:1.0.0", seconds: 4.2, error: ""}
kept:
  description: What stays though the cluster goes, each with the reason.
  returned: when O(state=absent)
  type: list
  elements: str
  sample: ["network example: in use by containers 0123456789ab"]
containers:
  description: The containers of a cluster of that name that wasn't made here.
  returned: if there is one
  type: list
  elements: dict
problems:
  description: Every mistake in the description.
  returned: if there is one
  type: list
  elements: str
"""

import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kind.argspec import argument_spec
from ansible_collections.drystone.platform.plugins.module_utils._kind.cluster import KindCluster, Settings
from ansible_collections.drystone.platform.plugins.module_utils._kind.docker import (
    Docker,
    Kind,
    end_with_children,
    find_program,
)
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState
from ansible_collections.drystone.platform.plugins.module_utils._kind.validate import parse, require_name


def run(module: AnsibleModule) -> dict[str, t.Any]:
    """Do what the state asks for and return what to tell."""
    params = {**module.params, "network": module.params["network"] or module.params["name"]}
    require_name(params["name"])
    spec = parse(params) if params["state"] == "present" else None
    docker = Docker(find_program("docker", "PATH"))
    timeouts = {key: params[key] for key in ("create_timeout", "api_timeout", "lock_timeout", "prefetch_timeout")}
    settings = Settings(Path(params["kubeconfig"]), recreate=params["recreate"], **timeouts)
    cluster = KindCluster(docker, Kind(params["kind_binary"]), ClusterState(Path(params["state_dir"])), settings)
    if spec:
        outcome = cluster.present(spec, module.check_mode)
        more: dict[str, t.Any] = {
            "node_names": [node.name for node in spec.nodes],
            "prefetch": [one.to_dict() for one in outcome.prefetch],
        }
    else:
        outcome = cluster.absent(params["name"], params["network"], module.check_mode)
        more = {"kept": outcome.kept}
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
    end_with_children()
    try:
        result = run(module)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
