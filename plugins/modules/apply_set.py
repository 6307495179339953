#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: apply_set
short_description: Apply a set of Kubernetes objects as one unit, with pruning
version_added: 1.0.0
description:
  - Applies all objects of a rendered application by server-side apply with the field manager C(drystone), and deletes
    objects that are no longer in the set. It sends requests in parallel over persistent connections.
  - A dry run on the server decides for each object whether it changes. An unchanged run writes nothing. Check mode and
    diff show the result as the server would store it, including defaults and normalised values.
  - The module plans every object before it writes the first one. Therefore a conflict, an unknown kind or an invalid
    field in the last object leaves the first one unchanged. There is one exception. If the set itself contains the
    namespace or the definition of an object, the module plans this object after it created them, because the server
    cannot check it earlier. The module tries a new CustomResourceDefinition only in check mode, because a dry run of a
    large definition takes as long as its creation.
  - The module applies Namespaces and CustomResourceDefinitions first and waits until the definitions are established.
    Then it applies configuration, workloads, and finally webhook configurations.
  - If a run is killed, run it again.
notes:
  - The module records the set as in KEP-3659. The parent is the ConfigMap C(drystone-<name>) in O(namespace); members
    have the label C(applyset.kubernetes.io/part-of).
  - An object that existed before the set is shared, not owned. The module manages its fields, marks it with the
    annotation C(drystone.dev/apply-set) instead of the label, and never deletes it. When the object leaves the set, the
    module does not change it.
  - If somebody changed a field of a member by hand (C(kubectl edit), C(kubectl scale)), this is drift, and the module
    corrects it. If another manager applies a field or an autoscaler controls it, this is a conflict. A conflict stops
    the run unless O(force_conflicts=true). For a shared object every field of another manager is a conflict. The module
    does not change fields that the manifest does not contain.
  - The module ignores C(status) and server-managed metadata in manifests. It converts C(stringData) of a Secret to
    C(data).
  - The result and errors never contain values of Secrets. A diff shows them as C(sha256:) and 8 hexadecimal digits.
  - The module waits only until definitions are established. Use M(drystone.platform.cluster_ready) to wait for the
    objects.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
options:
  name:
    description: Name of the set. Do not change it; objects that were applied under another name belong to another set.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the set's parent object, and of namespaced objects without a namespace.
      - The namespace must exist or be part of the set.
    type: str
    required: true
  objects:
    description:
      - The objects of the set, together with those in O(manifests). The module replaces an object of kind C(List) by
        its items.
    type: list
    elements: dict
    default: []
  manifests:
    description: YAML strings, each with any number of documents. A single string is accepted instead of a list.
    type: raw
  state:
    description:
      - V(present) applies the set.
      - V(absent) removes every member of the set and its parent. It does not need O(objects) and O(manifests).
    type: str
    choices: [present, absent]
    default: present
  prune:
    description: Whether to delete members that are no longer in the set.
    type: bool
    default: true
  prune_protected:
    description:
      - Whether pruning and O(state=absent) also delete Namespaces, CustomResourceDefinitions, PersistentVolumeClaims
        and PersistentVolumes. Deleting one of these deletes data, or objects that others created.
      - Otherwise the module releases them when they leave the set. It removes the set's label and changes nothing else.
    type: bool
    default: false
  force_conflicts:
    description: Whether to take over fields that other field managers own.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for CustomResourceDefinitions of the set to be established.
    type: int
    default: 60
seealso:
  - module: drystone.platform.cluster_ready
  - module: kubernetes.core.k8s
author:
  - The Drystone authors (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Apply the output of Kustomize
  drystone.platform.apply_set:
    name: argocd
    namespace: argocd
    kubeconfig: "{{ argocd_kubeconfig }}"
    manifests: "{{ lookup('kubernetes.core.kustomize', dir=overlay) }}"

- name: Apply a namespace and its content
  drystone.platform.apply_set:
    name: settings
    namespace: settings
    kubeconfig: "{{ drystone_kubeconfig }}"
    objects:
      - apiVersion: v1
        kind: Namespace
        metadata:
          name: settings
      - apiVersion: v1
        kind: ConfigMap
        metadata:
          name: colours
        data:
          background: blue

- name: Show the fields that another manager owns, and continue
  block:
    - name: Apply the set
      drystone.platform.apply_set:
        name: settings
        namespace: settings
        kubeconfig: "{{ drystone_kubeconfig }}"
        manifests: "{{ lookup('ansible.builtin.file', 'settings.yml') }}"
      register: applied
  rescue:
    - name: Show the conflicts
      ansible.builtin.debug:
        msg: "{{ item.object }}: {{ item.field }} is owned by {{ item.manager }}"
      loop: "{{ ansible_failed_result.conflicts | default([]) }}"

- name: Remove the set and its namespace
  drystone.platform.apply_set:
    name: settings
    namespace: settings
    kubeconfig: "{{ drystone_kubeconfig }}"
    state: absent
    prune_protected: true
"""

RETURN = r"""
id:
  description: The id of the set, as in the label C(applyset.kubernetes.io/part-of) of its members.
  returned: success
  type: str
  sample: applyset-xR3ZqmxYEkwxEhmpKDxRTVXQfIOH0MVyOQkA-FFmzm4-v1
objects:
  description: Each object of the set in the given order, followed by the members that left the set.
  returned: success
  type: list
  elements: dict
  contains:
    api_version:
      description: Group and version.
      returned: success
      type: str
      sample: apps/v1
    kind:
      description: Kind.
      returned: success
      type: str
      sample: Deployment
    namespace:
      description: Namespace, empty for a cluster-scoped object.
      returned: success
      type: str
      sample: argocd
    name:
      description: Name.
      returned: success
      type: str
      sample: argocd-server
    action:
      description:
        - The action, in check mode the action that a run would take.
        - V(created), V(configured), V(unchanged), V(pruned) (deleted), or V(released) (kept, no longer in the set).
      returned: success
      type: str
      sample: unchanged
problems:
  description: Each reason why the module did not apply the set.
  returned: when the module refused the set before it wrote anything
  type: list
  elements: str
  sample: ["Deployment argocd/argocd-server: .spec.replicas is owned by helm."]
conflicts:
  description: The fields that other managers own.
  returned: when the module refused the set because of conflicts
  type: list
  elements: dict
  contains:
    object:
      description: Kind, namespace and name.
      returned: on conflict
      type: str
      sample: Deployment argocd/argocd-server
    field:
      description: The path of the field.
      returned: on conflict
      type: str
      sample: .spec.replicas
    manager:
      description: The field manager that owns it.
      returned: on conflict
      type: str
      sample: helm
    subresource:
      description: The subresource through which the manager wrote the field, if any.
      returned: on conflict
      type: str
      sample: scale
    operation:
      description: How the manager writes the field, V(Apply) or V(Update).
      returned: on conflict
      type: str
      sample: Apply
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.apply_set import ApplySet, Options
from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import scrubbed, secret_values, to_censor
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import gather
from ansible_collections.drystone.platform.plugins.module_utils._module import diff_wanted, failing, succeed


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            # Do not log the objects, which may contain Secrets. The values to censor are reduced below.
            "objects": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "manifests": {"type": "raw", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "prune": {"type": "bool", "default": Options.prune},
            "prune_protected": {"type": "bool", "default": Options.prune_protected},
            "force_conflicts": {"type": "bool", "default": Options.force_conflicts},
            "timeout": {"type": "int", "default": Options.timeout},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    secrets: set[str] = set()
    with failing(module, lambda value: scrubbed(value, secrets)):
        objects = gather(params["objects"], params["manifests"])
        secrets = secret_values(objects)
        # Ansible would censor all strings of all objects, including names and kinds. Keep only confidential ones in its
        # list, and remove the objects from the recorded invocation.
        module.no_log_values.clear()
        module.no_log_values.update(to_censor(secrets, objects))
        module.params.update(objects=f"{len(objects)} objects, not shown", manifests=None)
        options = Options(
            name=params["name"],
            namespace=params["namespace"],
            prune=params["prune"],
            prune_protected=params["prune_protected"],
            force_conflicts=params["force_conflicts"],
            timeout=params["timeout"],
            check_mode=module.check_mode,
            diff=diff_wanted(module),
        )
        api = KubeApi.from_kubeconfig(params["kubeconfig"], params["context"])
        run = ApplySet(api, options)
        outcome = run.present(objects) if params["state"] == "present" else run.absent()
    for warning in [*outcome.warnings, *api.warnings]:
        module.warn(scrubbed(warning, secrets))
    succeed(module, changed=outcome.changed, id=outcome.id, objects=outcome.objects, diff=outcome.diff)


if __name__ == "__main__":
    main()
