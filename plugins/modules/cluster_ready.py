# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_ready
short_description: Wait until a cluster and its workloads are ready
version_added: 1.0.0
description:
  - Waits until every condition of a list holds at the same time. For each object that is not ready, it reports the
    reason.
  - The module lists Kubernetes objects once and then watches them, with one watch for each kind. It returns as soon as
    an event makes the last condition true. It polls only HTTP endpoints.
  - The existence of an object, or a good status of an older generation, is never sufficient. An object that is being
    deleted, a kind without conditions, and a selection without matches are not ready.
  - The module also waits for an API server that does not answer yet and for a kind that it does not serve yet.
  - An object that can never become ready, such as a failed Job, ends the wait at once.
author:
  - The Drystone authors (!UNKNOWN)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: Checks once and returns the result in RV(ready). It neither waits nor fails if something is not ready.
  diff_mode:
    support: none
    details: The module never changes anything.
requirements:
  - jmespath, for expressions
  - requests, for HTTP answers
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file. Required for every condition except C(http) with a full URL and without
        C(secret_headers). The module ignores
        the environment variables E(KUBECONFIG) and C(K8S_AUTH_*), so that it cannot use another cluster by accident.
    required: false
  timeout:
    description:
      - Seconds after which the wait fails and lists everything that is not ready. With V(0) the module checks once.
    type: int
    default: 300
  conditions:
    description:
      - The conditions. Each entry has exactly one of the keys below. It may have O(conditions[].timeout) as well.
    type: list
    elements: dict
    required: true
    suboptions:
      timeout:
        description:
          - Seconds within which this condition must have held for the first time. The default is O(timeout).
          - The wait as a whole ends after the longest of these times.
        type: int
      workloads:
        description:
          - Workloads of which every replica is updated and available, and no replica of an older template exists. Jobs
            must be complete, Pods must be ready or have succeeded.
          - The module checks objects that belong to another workload together with it. It ignores Jobs of a CronJob.
        type: dict
        suboptions:
          namespaces:
            description: Namespaces; each must contain at least one of the selected objects, unless it may be empty.
            type: list
            elements: str
            required: true
          names:
            description: Names that must exist in every namespace. Without names all objects count.
            type: list
            elements: str
          allow_empty:
            description:
              - Whether a namespace may contain none of the selected objects. Objects given by name must always exist.
            type: bool
            default: false
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          kinds:
            description: Kinds to check. By default all kinds; C(Rollout) only if the cluster serves it.
            type: list
            elements: str
            choices: [Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, Pod, Rollout]
      nodes:
        description: Nodes that are Ready and no longer have the taints of a starting node.
        type: dict
        suboptions:
          count:
            description: Minimum number of nodes. All matching nodes must be ready.
            type: int
            default: 1
          selector:
            description: Label selector, as kubectl takes it.
            type: str
      crds:
        description: CustomResourceDefinitions that are established and whose names are accepted.
        type: dict
        suboptions:
          names:
            description: Full names, such as V(applications.argoproj.io).
            type: list
            elements: str
            required: true
      apiservices:
        description: APIServices that are available.
        type: dict
        suboptions:
          names:
            description: Full names, such as V(v1beta1.metrics.k8s.io).
            type: list
            elements: str
            required: true
      applications:
        description:
          - Argo CD Applications that are Synced and Healthy. Argo CD must have compared them with their current source,
            no sync may be running, and their health must be newer than the last sync.
        type: dict
        suboptions:
          namespace:
            description: Namespace of the Applications.
            type: str
            default: argocd
          names:
            description: Names that must exist. Without names all Applications of the namespace count.
            type: list
            elements: str
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          revision:
            description: Commit that must be deployed; the full hash, or at least its first seven characters.
            type: str
      http:
        description:
          - An HTTP or HTTPS response. The module does not follow redirects and does not use proxies from the
            environment.
        type: dict
        suboptions:
          url:
            description:
              - The URL to request.
              - A path such as V(/readyz) or V(/api/v1/namespaces/dev/services/greeter:8000/proxy/healthz) is requested
                from the API server with the kubeconfig's credentials. No port has to be open on this host.
            type: str
            required: true
          status:
            description: The expected status code.
            type: int
            default: 200
          body:
            description: Text that the body must contain.
            type: str
          expression:
            description:
              - JMESPath expression on the body, which must be JSON. It holds if the result is not null, false, zero or
                empty.
            type: str
          headers:
            description: Headers to send, such as C(Host). Ansible logs them, so use C(bearer_token) or
              C(secret_headers) for a token.
            type: dict
          bearer_token:
            description: Token to send in the C(Authorization) header.
            type: str
          secret_headers:
            description:
              - Headers whose values are in Secrets of the cluster. The module reads the Secrets itself before each
                request and never shows the values.
            type: list
            elements: dict
            suboptions:
              header:
                description: Name of the header, such as V(X-Auth-Token).
                type: str
                required: true
              namespace:
                description: Namespace of the Secret.
                type: str
                required: true
              name:
                description: Name of the Secret.
                type: str
                required: true
              key:
                description: Key of the Secret.
                type: str
                required: true
          ca_path:
            description: File with the certificate authorities to trust instead of those of the system.
            type: path
          validate_certs:
            description: Whether the server's certificate must be valid.
            type: bool
            default: true
      resources:
        description: Objects of any kind.
        type: dict
        suboptions:
          api_version:
            description: API version, such as V(v1) or V(batch/v1).
            type: str
            required: true
          kind:
            description: Kind, such as V(PersistentVolumeClaim).
            type: str
            required: true
          namespace:
            description: Namespace. Without it all namespaces.
            type: str
          names:
            description: Names that must exist. Without names all objects count.
            type: list
            elements: str
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          expression:
            description:
              - JMESPath expression on the object. It holds if the result is not null, false, zero or empty. The module
                evaluates it only when the status is for the current generation.
              - Without an expression the module uses its rule for the kind. If it has none, it uses the object's
                condition C(Ready), C(Available) or C(Healthy).
            type: str
seealso:
  - module: drystone.platform.apply_set
"""

EXAMPLES = r"""
- name: Wait for the nodes and all workloads in two namespaces
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    timeout: 180
    conditions:
      - nodes:
          count: 3
      - workloads:
          namespaces: [kube-system, argocd]

- name: Wait until Argo CD has deployed a commit and the service answers
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions:
      - applications:
          names: [greeter-dev, greeter-staging]
          revision: 3f2a9c1d
      - http:
          url: http://127.0.0.1:8080/healthz
          headers:
            Host: greeter.dev.localhost

- name: Give each of two parts its own time
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions:
      - workloads:
          namespaces: [argocd]
        timeout: 300
      - workloads:
          namespaces: [reloader]
        timeout: 60

- name: Check that a service answers only with the token in a Secret
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions:
      - http:
          url: http://127.0.0.1:8080/app
          headers: {Host: example.com}
          status: 401
      - http:
          url: http://127.0.0.1:8080/app
          headers: {Host: example.com}
          secret_headers:
            - header: X-Auth-Token
              namespace: production
              name: hello
              key: token

- name: Wait for the metrics API and a volume
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    conditions:
      - apiservices:
          names: [v1beta1.metrics.k8s.io]
      - resources:
          api_version: v1
          kind: PersistentVolumeClaim
          namespace: git
          names: [git-server]
          expression: status.phase == 'Bound'

- name: Show what is not ready, and continue
  block:
    - name: Wait for the workloads of the development environment
      drystone.platform.cluster_ready:
        kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
        timeout: 60
        conditions:
          - workloads:
              namespaces: [dev]
      register: wait
  rescue:
    - name: Show the objects that are not ready
      ansible.builtin.debug:
        msg: "{{ wait.conditions | map(attribute='unmet') | flatten }}"
"""

RETURN = r"""
ready:
  description: Whether every condition holds. False only in check mode and in a failure.
  returned: always, except when the task's input is wrong
  type: bool
  sample: true
elapsed:
  description: Seconds that the module waited.
  returned: always, except when the task's input is wrong
  type: float
  sample: 17.3
conditions:
  description: The conditions in the given order.
  returned: always, except when the task's input is wrong
  type: list
  elements: dict
  sample:
    - type: workloads
      title: workloads in argocd
      ready: false
      reason: 6 of 7 ready
      elapsed: 60.0
      unmet:
        - kind: Deployment
          namespace: argocd
          name: argocd-server
          reason: 0 of 1 replicas ready
          details:
            - "pod argocd-server-x2x4f: container server is waiting: ImagePullBackOff (image drystone.local/argocd:v0)"
          unchanged_for: 55.2
          terminal: false
  contains:
    type:
      description: The key of the condition, such as C(workloads).
      returned: always
      type: str
    title:
      description: The condition in words.
      returned: always
      type: str
    ready:
      description: Whether the condition holds.
      returned: always
      type: bool
    reason:
      description: The number of ready objects.
      returned: always
      type: str
    elapsed:
      description: Seconds until the condition held permanently, or until the end of the wait.
      returned: always
      type: float
    unmet:
      description: The objects that are not ready. C(kind) and C(name) are empty if the objects cannot be read.
      returned: always
      type: list
      elements: dict
      contains:
        kind:
          description: Kind of the object.
          returned: always
          type: str
        namespace:
          description: Namespace of the object, if it has one.
          returned: always
          type: str
        name:
          description: Name of the object; empty for missing objects.
          returned: always
          type: str
        reason:
          description: The reason why it is not ready, from its own status.
          returned: always
          type: str
        details:
          description: Reasons from its pods, and the last warning event about it.
          returned: always
          type: list
          elements: str
        unchanged_for:
          description: Seconds since the reason last changed.
          returned: always
          type: float
        terminal:
          description: Whether the object can never become ready without intervention.
          returned: always
          type: bool
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._module import failing, succeed
from ansible_collections.drystone.platform.plugins.module_utils._ready.argspec import argument_spec
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import build_conditions
from ansible_collections.drystone.platform.plugins.module_utils._ready.wait import ClusterReady, not_there

# Seconds to retry one request before its failure is recorded. The wait itself continues.
_RETRY_FOR = 2.0
_ANSWER_WITHIN = 10.0


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Check the conditions once in check mode, else wait for them."""
    conditions = build_conditions(params["conditions"])
    kubeconfig = params["kubeconfig"]
    api = None
    if kubeconfig and any(condition.of_cluster for condition in conditions):
        if check_mode and not os.path.exists(kubeconfig):
            return not_there(conditions, f"kubeconfig {kubeconfig} does not exist: the cluster is not created yet")
        api = KubeApi.from_kubeconfig(kubeconfig, params["context"], timeout=_ANSWER_WITHIN, retry_for=_RETRY_FOR)
    wait = ClusterReady(api, conditions, params["timeout"])
    return wait.look() if check_mode else wait.wait()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**kube_argspec(), "kubeconfig": {"type": "path"}, **argument_spec()},
        supports_check_mode=True,
    )
    with failing(module):
        result = run(module.params, module.check_mode)
    succeed(module, changed=False, **result)


if __name__ == "__main__":
    main()
