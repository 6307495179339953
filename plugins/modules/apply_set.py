#!/usr/bin/python
# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: apply_set
short_description: Apply a whole set of Kubernetes objects as one thing
version_added: 1.0.0
description:
  - Applies all objects of a rendered application by server-side apply with the field manager C(drystone), many at a
    time over kept-alive connections, and removes what left the set.
  - A server dry run of each object decides whether it changes. An unchanged run writes nothing at all; check mode and
    diff show what the server itself would make of the objects, defaults and normalised values included.
  - Nothing is written before every object was planned, so a conflict, an unknown kind or an invalid field of the last
    object leaves the first as it was. Only objects whose namespace or kind the set itself brings are planned after
    those are made, because the server cannot judge them before. A definition that is not there yet is tried in check
    mode alone, as trying a large one takes the server as long as making it.
  - Namespaces and CustomResourceDefinitions come first. The definitions are watched until they are established. Then
    come configuration, workloads, and at last webhook configurations.
  - A run that was killed is simply run again.
notes:
  - The set is recorded as in KEP-3659. Its parent is the ConfigMap C(drystone-<name>) in O(namespace); members carry
    the label C(applyset.kubernetes.io/part-of).
  - An object that was there before the set is shared, not owned. Its fields are managed, it carries the annotation
    C(drystone.dev/apply-set) instead of the label, and it is never deleted. When it leaves the set it stays as it is.
  - A field of a member that was changed by hand (C(kubectl edit), C(kubectl scale)) is drift and put right. A field
    that another manager applies, or that an autoscaler rules, is a conflict and stops the run unless
    O(force_conflicts=true). For a shared object every field of another manager is a conflict. Fields that the manifest
    does not state stay.
  - C(status) and the metadata kept by the server are ignored in manifests. C(stringData) of a Secret becomes C(data).
  - Values of Secrets appear nowhere in the result or in errors, and in a diff as C(sha256:) and 8 hexadecimal digits.
  - Waits for nothing but for definitions to be established. Use M(drystone.platform.cluster_ready) afterwards.
extends_documentation_fragment:
  - drystone.platform._attributes
  - drystone.platform._kube
options:
  name:
    description: Name of the set. Keep it; objects applied under another name belong to another set.
    type: str
    required: true
  namespace:
    description:
      - Namespace of the set's parent object, and of namespaced objects that name none.
      - Has to exist or to be in the set.
    type: str
    required: true
  objects:
    description:
      - The objects. Objects of kind C(List) stand for their items.
      - Together with O(manifests) this is the whole set.
    type: list
    elements: dict
    default: []
  manifests:
    description: Strings of YAML, each with any number of documents. One string instead of a list is understood.
    type: raw
  state:
    description:
      - V(present) makes the cluster contain the set.
      - V(absent) removes every member of the set and its parent. O(objects) and O(manifests) are not needed.
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
        and PersistentVolumes. Deleting one of these deletes data, or objects that others made.
      - Otherwise they are released when they leave the set. They stay as they are without the label of the set.
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
  - The Drystone authors (@drystone)
"""

EXAMPLES = r"""
- name: Apply what Kustomize renders
  drystone.platform.apply_set:
    name: argocd
    namespace: argocd
    kubeconfig: "{{ argocd_kubeconfig }}"
    manifests: "{{ lookup('kubernetes.core.kustomize', dir=overlay) }}"

- name: Apply a namespace and what lies in it
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

- name: Say which fields somebody else owns and go on
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

- name: Remove the set, its namespace included
  drystone.platform.apply_set:
    name: settings
    namespace: settings
    kubeconfig: "{{ drystone_kubeconfig }}"
    state: absent
    prune_protected: true
"""

RETURN = r"""
id:
  description: The id of the set, which its members carry in the label C(applyset.kubernetes.io/part-of).
  returned: success
  type: str
  sample: applyset-xR3ZqmxYEkwxEhmpKDxRTVXQfIOH0MVyOQkA-FFmzm4-v1
objects:
  description: Each object of the set in the order given, and after them the members that left it.
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
        - What was done, or would be done in check mode.
        - V(created), V(configured), V(unchanged), V(pruned) (deleted), or V(released) (kept, no longer of the set).
      returned: success
      type: str
      sample: unchanged
problems:
  description: Each reason why the set was not applied.
  returned: when the set was refused before anything was written
  type: list
  elements: str
  sample: ["Deployment argocd/argocd-server: .spec.replicas is owned by helm."]
conflicts:
  description: The fields that other managers own.
  returned: when the set was refused for conflicts
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
      description: The subresource through which it was written, if any.
      returned: on conflict
      type: str
      sample: scale
    operation:
      description: How the manager writes, V(Apply) or V(Update).
      returned: on conflict
      type: str
      sample: Apply
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.drystone.platform.plugins.module_utils._apply_set.apply_set import ApplySet, Options
from ansible_collections.drystone.platform.plugins.module_utils._argspec import kube_argspec
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError
from ansible_collections.drystone.platform.plugins.module_utils._kube.api import KubeApi
from ansible_collections.drystone.platform.plugins.module_utils._kube.diff import scrubbed, secret_values, to_censor
from ansible_collections.drystone.platform.plugins.module_utils._kube.manifests import gather


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **kube_argspec(),
            "name": {"type": "str", "required": True},
            "namespace": {"type": "str", "required": True},
            # Not logged, because there may be Secrets among them. What Ansible has to censor is narrowed below.
            "objects": {"type": "list", "elements": "dict", "default": [], "no_log": True},
            "manifests": {"type": "raw", "no_log": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "prune": {"type": "bool", "default": True},
            "prune_protected": {"type": "bool", "default": False},
            "force_conflicts": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    params = dict(module.params)
    secrets: set[str] = set()
    try:
        objects = gather(params["objects"], params["manifests"])
        secrets = secret_values(objects)
        # Every string of every object is on Ansible's list by now, names and kinds too: only the secret ones stay, and
        # the objects themselves leave the recorded invocation.
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
            diff=module._diff,  # noqa: SLF001  Ansible has no public name for it
        )
        api = KubeApi.from_kubeconfig(params["kubeconfig"], params["context"])
        run = ApplySet(api, options)
        outcome = run.present(objects) if params["state"] == "present" else run.absent()
    except DrystoneError as error:
        module.fail_json(msg=scrubbed(error.msg, secrets), **scrubbed(error.facts, secrets))
    for warning in [*outcome.warnings, *api.warnings]:
        module.warn(scrubbed(warning, secrets))
    shown = {"diff": outcome.diff} if options.diff else {}
    module.exit_json(changed=outcome.changed, id=outcome.id, objects=outcome.objects, **shown)


if __name__ == "__main__":
    main()
