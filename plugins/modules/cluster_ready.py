# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_ready
short_description: Wait until a cluster and what runs on it are ready
version_added: 1.0.0
description:
  - Waits until every condition of a list holds, all of them at the same moment, and says of each thing that is not
    ready what it is waiting for.
  - Kubernetes objects are listed once and then watched, one watch for each kind; the answer comes with the event that
    makes the last condition true. Only HTTP answers are asked for again and again.
  - That an object exists, or that a status of an older generation was good, is never enough. An object that is being
    deleted, a kind without conditions to judge it by and a selection that matches nothing are not ready.
  - An API server that does not answer yet and a kind it does not serve yet are waited for like anything else.
  - A thing that can never become ready, such as a failed Job, ends the wait at once.
author:
  - The Drystone authors (@drystone)
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
attributes:
  check_mode:
    details: Looks once, neither waits nor fails for what is not ready, and tells in RV(ready) how things stand.
  diff_mode:
    support: none
    details: Nothing is ever changed.
requirements:
  - jmespath, for expressions
  - requests, for HTTP answers
options:
  kubeconfig:
    description:
      - Path of the kubeconfig file. Needed for every condition but C(http) with a full URL. Only this file is read;
        the environment variables E(KUBECONFIG) and C(K8S_AUTH_*) are ignored, so that no other cluster can be meant by
        accident.
    required: false
  timeout:
    description:
      - Seconds after which the wait fails and names everything that is not ready. V(0) looks once and then fails.
    type: int
    default: 300
  conditions:
    description:
      - What is to hold. Each entry has exactly one of the keys below.
    type: list
    elements: dict
    required: true
    suboptions:
      workloads:
        description:
          - Workloads whose every replica is updated and available, with none of an older template left. Jobs are to be
            complete, Pods ready or run to their end.
          - What belongs to another workload is judged with it; runs of a CronJob are not looked at.
        type: dict
        suboptions:
          namespaces:
            description: Namespaces; each must hold something that is asked for.
            type: list
            elements: str
            required: true
          names:
            description: Names that must be there, each in every namespace. Without names everything counts.
            type: list
            elements: str
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          kinds:
            description: Kinds to look at. Without it all of them, C(Rollout) only where the cluster serves it.
            type: list
            elements: str
            choices: [Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, Pod, Rollout]
      nodes:
        description: Nodes that are Ready and no longer carry the taints of a starting node.
        type: dict
        suboptions:
          count:
            description: At least so many nodes; all that match must be ready.
            type: int
            default: 1
          selector:
            description: Label selector, as kubectl takes it.
            type: str
      crds:
        description: CustomResourceDefinitions that are established, their names accepted.
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
          - Argo CD Applications that are Synced and Healthy, compared with the source they have now, with no sync
            running and their health taken after the last sync.
        type: dict
        suboptions:
          namespace:
            description: Namespace of the Applications.
            type: str
            default: argocd
          names:
            description: Names that must be there. Without names all Applications of the namespace count.
            type: list
            elements: str
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          revision:
            description: Commit they must be at; in full, or at least its first seven characters.
            type: str
      http:
        description:
          - An answer over HTTP or HTTPS. Redirects are not followed, proxies of the environment are not used.
        type: dict
        suboptions:
          url:
            description:
              - What to ask for.
              - A path alone, such as V(/readyz) or V(/api/v1/namespaces/dev/services/greeter:8000/proxy/healthz), is
                asked of the API server with the kubeconfig's credentials; so no port has to be open on this host.
            type: str
            required: true
          status:
            description: The status code of the answer.
            type: int
            default: 200
          body:
            description: Text that must be in the body.
            type: str
          expression:
            description:
              - JMESPath expression over the body, which must be JSON. It holds if it gives anything but null, false,
                zero or something empty.
            type: str
          headers:
            description: Headers to send, such as C(Host). They are logged; a token belongs in C(bearer_token).
            type: dict
          bearer_token:
            description: Token to send in the C(Authorization) header.
            type: str
          ca_path:
            description: File with the certificate authorities to trust instead of the system's.
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
            description: Names that must be there. Without names everything counts.
            type: list
            elements: str
          selector:
            description: Label selector, as kubectl takes it.
            type: str
          expression:
            description:
              - JMESPath expression over the object. It holds if it gives anything but null, false, zero or something
                empty; before it is asked, the status must be for the current generation.
              - Without an expression the module's rule for the kind decides or, where it has none, the object's
                condition C(Ready), C(Available) or C(Healthy).
            type: str
seealso:
  - module: drystone.platform.apply_set
"""

EXAMPLES = r"""
- name: Wait for the nodes and everything that runs in two namespaces
  drystone.platform.cluster_ready:
    kubeconfig: ~/.local/state/drystone/drystone-dev/kubeconfig
    timeout: 180
    conditions:
      - nodes:
          count: 3
      - workloads:
          namespaces: [kube-system, argocd]

- name: Wait until Argo CD has brought a commit to the cluster and the service answers
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

- name: Look into what is not ready, and go on
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
    - name: Show only what is not ready
      ansible.builtin.debug:
        msg: "{{ wait.conditions | map(attribute='unmet') | flatten }}"
"""

RETURN = r"""
ready:
  description: Whether every condition holds. Can be false only in check mode and in a failure.
  returned: always, except when the task's input is wrong
  type: bool
  sample: true
elapsed:
  description: Seconds the module waited.
  returned: always, except when the task's input is wrong
  type: float
  sample: 17.3
conditions:
  description: The conditions in the order given.
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
      description: The key the condition was given by.
      returned: always
      type: str
    title:
      description: The condition in words.
      returned: always
      type: str
    ready:
      description: Whether it holds.
      returned: always
      type: bool
    reason:
      description: How many of its things are ready.
      returned: always
      type: str
    elapsed:
      description: Seconds until it held for good, or until the end of the wait.
      returned: always
      type: float
    unmet:
      description: What is not ready; C(kind) and C(name) are empty where the things cannot be seen at all.
      returned: always
      type: list
      elements: dict
      contains:
        kind:
          description: Its kind.
          returned: always
          type: str
        namespace:
          description: Its namespace, if it has one.
          returned: always
          type: str
        name:
          description: Its name; empty for things that should be there and are not.
          returned: always
          type: str
        reason:
          description: Why it is not ready, by its own status.
          returned: always
          type: str
        details:
          description: What its pods and the last warning about it say.
          returned: always
          type: list
          elements: str
        unchanged_for:
          description: Seconds for which the reason has been the same.
          returned: always
          type: float
        terminal:
          description: Whether it can never become ready by itself.
          returned: always
          type: bool
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._ready.conditions import (
    WORKLOAD_KINDS,
    build_conditions,
)
from ansible_collections.drystone.platform.plugins.module_utils._ready.wait import ClusterReady, not_there

# One request is tried again for so long before its failure is noted; the wait itself goes on.
_RETRY_FOR = 2.0
_ANSWER_WITHIN = 10.0


def condition_argspec() -> dict[str, dict[str, t.Any]]:
    """One entry of conditions: exactly one of these."""
    text: dict[str, t.Any] = {"type": "str"}
    needed: dict[str, t.Any] = {"type": "str", "required": True}
    texts: dict[str, t.Any] = {"type": "list", "elements": "str"}
    kinds = {**texts, "choices": list(WORKLOAD_KINDS)}
    needed_texts = {**texts, "required": True}
    suboptions: dict[str, dict[str, dict[str, t.Any]]] = {
        "workloads": {"namespaces": needed_texts, "names": texts, "selector": text, "kinds": kinds},
        "nodes": {"count": {"type": "int", "default": 1}, "selector": text},
        "crds": {"names": needed_texts},
        "apiservices": {"names": needed_texts},
        "applications": {
            "namespace": {"type": "str", "default": "argocd"},
            "names": texts,
            "selector": text,
            "revision": text,
        },
        "http": {
            "url": needed,
            "status": {"type": "int", "default": 200},
            "body": text,
            "expression": text,
            "headers": {"type": "dict"},
            "bearer_token": {"type": "str", "no_log": True},
            "ca_path": {"type": "path"},
            "validate_certs": {"type": "bool", "default": True},
        },
        "resources": {
            "api_version": needed,
            "kind": needed,
            "namespace": text,
            "names": texts,
            "selector": text,
            "expression": text,
        },
    }
    return {name: {"type": "dict", "options": options} for name, options in suboptions.items()}


def run(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    """Look once in check mode, wait otherwise."""
    conditions = build_conditions(params["conditions"])
    kubeconfig = params["kubeconfig"]
    api = None
    if kubeconfig and any(condition.of_cluster for condition in conditions):
        if check_mode and not os.path.exists(kubeconfig):
            return not_there(conditions, f"there is no kubeconfig {kubeconfig}: the cluster is not made yet")
        api = KubeApi.from_kubeconfig(kubeconfig, params["context"], timeout=_ANSWER_WITHIN, retry_for=_RETRY_FOR)
    wait = ClusterReady(api, conditions, params["timeout"])
    return wait.look() if check_mode else wait.wait()


def main() -> None:
    """Run the module."""
    condition = condition_argspec()
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "kubeconfig": {"type": "path"},
            "timeout": {"type": "int", "default": 300},
            "conditions": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": condition,
                "mutually_exclusive": [tuple(condition)],
                "required_one_of": [tuple(condition)],
            },
        },
        supports_check_mode=True,
    )
    try:
        result = run(module.params, module.check_mode)
    except DrystoneError as error:
        module.fail_json(msg=error.msg, **error.facts)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
