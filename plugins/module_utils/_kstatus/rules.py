# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decide whether one Kubernetes object is ready, as a pure function of that object. PRIVATE to the collection.

Three rules apply to every kind. An object that is being deleted is not ready. An object whose status belongs to an
older generation of its spec is not ready. A kind without its own rule is judged by its conditions; without known
conditions it is not ready.
"""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.drystone.platform.plugins.module_utils._kstatus.argo import application_status, rollout_status
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.common import (
    Status,
    conditions_of,
    describe_condition,
    not_ready,
    ready,
    require_conditions,
)
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.pod import pod_status
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.workloads import (
    daemon_set_status,
    deployment_status,
    job_status,
    replica_set_status,
    stateful_set_status,
)
from ansible_collections.drystone.platform.plugins.module_utils._kube.types import Object

Rule = Callable[[Object], Status]

# While a node has one of these taints, no pods are scheduled to it, regardless of its conditions.
_NODE_STARTING_TAINTS = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/network-unavailable",
        "node.cloudprovider.kubernetes.io/uninitialized",
    }
)


def status_of(obj: Object) -> Status:
    """Judge one object by the rule of its kind."""
    early = premature(obj)
    if early is not None:
        return early
    rule = _RULES.get(group_kind(obj))
    return rule(obj) if rule else _by_conditions(obj)


def premature(obj: Object) -> Status | None:
    """Return why the status of an object must not be used yet, or None. Applies to all kinds and expressions."""
    metadata = obj.get("metadata") or {}
    if metadata.get("deletionTimestamp"):
        waiting = ", ".join(metadata.get("finalizers") or [])
        return not_ready("is being deleted" + (f" (held by finalizers {waiting})" if waiting else ""))
    generation = metadata.get("generation")
    observed = (obj.get("status") or {}).get("observedGeneration")
    if observed is None:
        if group_kind(obj) in _REPORT_GENERATION:
            return not_ready("its controller has not processed it yet (no observedGeneration)")
        return None
    # Argo Rollouts writes the number as a string.
    if generation is not None and str(observed) != str(generation):
        return not_ready(f"its status is from generation {observed}, but its spec is at generation {generation}")
    return None


def group_kind(obj: Object) -> tuple[str, str]:
    """Return the API group and the kind. The meaning of a status does not depend on the version."""
    api_version = str(obj.get("apiVersion") or "")
    return (api_version.rpartition("/")[0], str(obj.get("kind") or ""))


def _exists(obj: Object) -> Status:
    return ready("exists")


def _by_conditions(obj: Object) -> Status:
    conditions = conditions_of(obj)
    generation = (obj.get("metadata") or {}).get("generation")
    for kind in ("Stalled", "Reconciling"):
        if kind in conditions and conditions[kind].get("status") == "True":
            return not_ready(describe_condition(conditions[kind]))
    for kind in ("Ready", "Available", "Healthy"):
        condition = conditions.get(kind)
        if condition is None:
            continue
        observed = condition.get("observedGeneration")
        if None not in (observed, generation) and observed != generation:
            return not_ready(f"its condition {kind} is from generation {observed}, but its spec is at {generation}")
        return require_conditions(obj, kind)
    seen = f"it only has the conditions {', '.join(sorted(conditions))}" if conditions else "it has no conditions"
    return not_ready(f"there is no readiness rule for {obj.get('kind')}, and {seen}. Set an expression")


def _node_status(obj: Object) -> Status:
    status = require_conditions(obj, "Ready")
    if not status.ready:
        return status
    network = conditions_of(obj).get("NetworkUnavailable")
    if network and network.get("status") == "True":
        return not_ready(describe_condition(network))
    taints = {taint.get("key") for taint in (obj.get("spec") or {}).get("taints") or []}
    blocking = sorted(taints & _NODE_STARTING_TAINTS)
    if blocking:
        return not_ready(f"condition Ready is True, but the node still has the taint {blocking[0]}")
    return ready("Ready, cordoned" if (obj.get("spec") or {}).get("unschedulable") else "Ready")


def _crd_status(obj: Object) -> Status:
    return require_conditions(obj, "NamesAccepted", "Established")


def _api_service_status(obj: Object) -> Status:
    return require_conditions(obj, "Available")


def _hpa_status(obj: Object) -> Status:
    return require_conditions(obj, "AbleToScale", "ScalingActive")


def _phase(*good: str, terminal: tuple[str, ...] = ()) -> Rule:
    def rule(obj: Object) -> Status:
        status = obj.get("status") or {}
        phase = status.get("phase")
        if phase in good:
            return ready(str(phase))
        message = f": {status['message']}" if status.get("message") else ""
        return not_ready(f"phase is {phase or 'not set'}{message}", terminal=phase in terminal)

    return rule


def _service_status(obj: Object) -> Status:
    spec = obj.get("spec") or {}
    if spec.get("type") == "LoadBalancer":
        if ((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress"):
            return ready("has an address")
        return not_ready("no load balancer has assigned an address")
    if spec.get("type") != "ExternalName" and not spec.get("clusterIP"):
        return not_ready("has no cluster IP")
    return ready("exists")


def _pdb_status(obj: Object) -> Status:
    status = obj.get("status") or {}
    current, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if current < desired:
        return not_ready(f"{current} of {desired} required pods are healthy")
    return ready(f"{current} healthy pods, {desired} needed")


def _webhooks_status(obj: Object) -> Status:
    for webhook in obj.get("webhooks") or []:
        client = webhook.get("clientConfig") or {}
        if client.get("service") and not client.get("caBundle"):
            return not_ready(f"webhook {webhook.get('name')} has no caBundle yet")
    return ready("all webhooks have a caBundle")


_RBAC = "rbac.authorization.k8s.io"
_RULES: dict[tuple[str, str], Rule] = {
    ("apps", "Deployment"): deployment_status,
    ("apps", "StatefulSet"): stateful_set_status,
    ("apps", "DaemonSet"): daemon_set_status,
    ("apps", "ReplicaSet"): replica_set_status,
    ("batch", "Job"): job_status,
    ("batch", "CronJob"): _exists,
    ("", "Pod"): pod_status,
    ("", "Node"): _node_status,
    ("", "Namespace"): _phase("Active"),
    ("", "PersistentVolumeClaim"): _phase("Bound", terminal=("Lost",)),
    ("", "PersistentVolume"): _phase("Bound", "Available"),
    ("", "Service"): _service_status,
    ("", "ConfigMap"): _exists,
    ("", "Secret"): _exists,
    ("", "ServiceAccount"): _exists,
    ("", "LimitRange"): _exists,
    (_RBAC, "Role"): _exists,
    (_RBAC, "RoleBinding"): _exists,
    (_RBAC, "ClusterRole"): _exists,
    (_RBAC, "ClusterRoleBinding"): _exists,
    ("networking.k8s.io", "NetworkPolicy"): _exists,
    ("networking.k8s.io", "IngressClass"): _exists,
    ("scheduling.k8s.io", "PriorityClass"): _exists,
    ("storage.k8s.io", "StorageClass"): _exists,
    ("policy", "PodDisruptionBudget"): _pdb_status,
    ("autoscaling", "HorizontalPodAutoscaler"): _hpa_status,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _crd_status,
    ("apiregistration.k8s.io", "APIService"): _api_service_status,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _webhooks_status,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _webhooks_status,
    ("argoproj.io", "Application"): application_status,
    ("argoproj.io", "Rollout"): rollout_status,
}

# The controllers of these kinds always write observedGeneration. Without it, no controller has written a status.
_REPORT_GENERATION = frozenset(
    {
        ("apps", "Deployment"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("apps", "ReplicaSet"),
        ("policy", "PodDisruptionBudget"),
        ("argoproj.io", "Rollout"),
    }
)
