# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.module_utils._kstatus.argo import application_status, same_revision
from ansible_collections.drystone.platform.plugins.module_utils._kstatus.rules import status_of

FIXTURE = Path(__file__).parent / "fixtures" / "healthy_objects.yml"
HEALTHY = {obj["kind"]: obj for obj in yaml.safe_load_all(FIXTURE.read_text())}


def patched(kind: str, patch: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a healthy object with a change in the form of a JSON merge patch."""

    def merge(into: dict[str, t.Any], changes: dict[str, t.Any]) -> None:
        for key, value in changes.items():
            if value is None:
                into.pop(key, None)
            elif isinstance(value, dict) and isinstance(into.get(key), dict):
                merge(into[key], value)
            else:
                into[key] = value

    obj = copy.deepcopy(HEALTHY[kind])
    merge(obj, patch)
    return t.cast("dict[str, t.Any]", obj)


def condition(kind: str, status: str, reason: str = "", message: str = "", **more: t.Any) -> dict[str, t.Any]:
    return {"status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message, **more}]}}


def container(state: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    """Return a Pod whose only container has this state."""
    status = {"name": "greeter", "image": "drystone.local/greeter:9", "ready": False, "state": state, **more}
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
    ]
    return {"status": {"phase": "Pending", "conditions": conditions, "containerStatuses": [status]}}


def init_container(state: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
    """Return a Pod that waits for an init container."""
    pod = container({"waiting": {"reason": "PodInitializing"}})
    pod["status"]["initContainerStatuses"] = [{"name": "clone", "image": "git:1", "state": state, **more}]
    return pod


@pytest.mark.parametrize("kind", sorted(HEALTHY))
def test_healthy_object_is_ready(kind: str) -> None:
    assert status_of(HEALTHY[kind]).ready, status_of(HEALTHY[kind]).reason


@pytest.mark.parametrize("kind", sorted(HEALTHY))
def test_object_being_deleted_is_not_ready(kind: str) -> None:
    gone = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/keep"]}}
    status = status_of(patched(kind, gone))
    assert not status.ready
    assert "being deleted (held by finalizers example.com/keep)" in status.reason


@pytest.mark.parametrize(
    "kind", ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Rollout", "PodDisruptionBudget"]
)
@pytest.mark.parametrize(
    "patch", [{"metadata": {"generation": 99}}, {"status": {"observedGeneration": None}}, {"status": None}]
)
def test_status_of_an_older_generation_is_not_believed(kind: str, patch: dict[str, t.Any]) -> None:
    status = status_of(patched(kind, patch))
    assert not status.ready
    assert "generation" in status.reason.lower()


@pytest.mark.parametrize(
    "kind",
    [
        "Pod",
        "Job",
        "PersistentVolumeClaim",
        "Node",
        "Namespace",
        "HorizontalPodAutoscaler",
        "CustomResourceDefinition",
        "APIService",
        "Application",
        "Certificate",
        "PersistentVolume",
    ],
)
def test_existing_is_not_ready(kind: str) -> None:
    assert not status_of(patched(kind, {"status": None})).ready


# kind, change, part of the reason
NOT_READY: list[tuple[str, dict[str, t.Any], str]] = [
    # Available is still True, because the controller has not processed the new spec.
    (
        "Deployment",
        {"metadata": {"generation": 4}, "status": {"availableReplicas": 1}},
        "from generation 3, but its spec is at generation 4",
    ),
    ("Deployment", {"status": {"updatedReplicas": 1}}, "1 of 3 replicas updated"),
    ("Deployment", {"status": {"updatedReplicas": None}}, "0 of 3 replicas updated"),
    ("Deployment", {"status": {"replicas": 4}}, "1 replicas with an older template still run"),
    ("Deployment", {"status": {"readyReplicas": 2}}, "2 of 3 replicas ready"),
    ("Deployment", {"status": {"readyReplicas": None, "availableReplicas": None}}, "0 of 3 replicas ready"),
    ("Deployment", {"status": {"availableReplicas": 2}}, "2 of 3 replicas available"),
    ("Deployment", {"spec": {"paused": True}, "status": {"updatedReplicas": 0}}, "its rollout is paused"),
    ("Deployment", {"spec": {"replicas": 0}}, "3 replicas still run, but 0 are desired"),
    (
        "Deployment",
        {"spec": {"replicas": None}, "status": {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 0}},
        "0 of 1",
    ),
    (
        "Deployment",
        {
            "status": {
                "updatedReplicas": 1,
                **condition("Progressing", "False", "ProgressDeadlineExceeded", "timed out")["status"],
            }
        },
        "ProgressDeadlineExceeded: timed out",
    ),
    (
        "Deployment",
        {
            "status": {
                "updatedReplicas": 0,
                **condition("ReplicaFailure", "True", "FailedCreate", "exceeded quota")["status"],
            }
        },
        "FailedCreate: exceeded quota",
    ),
    ("StatefulSet", {"status": {"updatedReplicas": 1}}, "1 of 2 replicas updated"),
    ("StatefulSet", {"status": {"updateRevision": "prometheus-c"}}, "prometheus-c has not replaced prometheus-b"),
    ("StatefulSet", {"status": {"readyReplicas": 1}}, "1 of 2 replicas ready"),
    ("StatefulSet", {"status": {"availableReplicas": 1}}, "1 of 2 replicas available"),
    ("StatefulSet", {"status": {"replicas": 3}}, "1 surplus replicas still run"),
    (
        "StatefulSet",
        {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}, "status": {"updatedReplicas": 0}},
        "0 of 1 replicas updated",
    ),
    (
        "StatefulSet",
        {"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"readyReplicas": 0}},
        "0 of 2 replicas ready",
    ),
    ("DaemonSet", {"status": {"desiredNumberScheduled": 0}}, "no node matches"),
    ("DaemonSet", {"status": {"updatedNumberScheduled": 2}}, "2 of 3 pods updated"),
    ("DaemonSet", {"status": {"numberReady": 1}}, "1 of 3 pods ready"),
    ("DaemonSet", {"status": {"numberAvailable": 0}}, "0 of 3 pods available"),
    ("ReplicaSet", {"status": {"replicas": 3}}, "1 surplus replicas still run"),
    ("ReplicaSet", {"status": {"replicas": 1}}, "1 of 2 replicas created"),
    (
        "ReplicaSet",
        {"status": {"availableReplicas": 0, **condition("ReplicaFailure", "True", "FailedCreate")["status"]}},
        "FailedCreate",
    ),
    (
        "Job",
        {"status": {"succeeded": 0, "active": 1, "failed": 1, "conditions": []}},
        "0 of 1 completions, 1 pods active, 1 failed (limit 2)",
    ),
    ("Job", condition("SuccessCriteriaMet", "True"), "completions"),
    ("Job", condition("Complete", "False"), "completions"),
    (
        "Job",
        {"spec": {"suspend": True}, "status": {"conditions": [{"type": "Suspended", "status": "True"}]}},
        "is suspended",
    ),
    ("PersistentVolumeClaim", {"status": {"phase": "Pending"}}, "phase is Pending"),
    ("PersistentVolume", {"status": {"phase": "Failed", "message": "no such path"}}, "phase is Failed: no such path"),
    (
        "Node",
        condition("Ready", "False", "KubeletNotReady", "cni plugin not initialized"),
        "KubeletNotReady: cni plugin not initialized",
    ),
    ("Node", condition("Ready", "Unknown", "NodeStatusUnknown"), "Ready is Unknown"),
    (
        "Node",
        {"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}},
        "taint node.kubernetes.io/not-ready",
    ),
    (
        "Node",
        {
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True"},
                    {"type": "NetworkUnavailable", "status": "True", "reason": "NoRoute"},
                ]
            }
        },
        "NetworkUnavailable is True (NoRoute)",
    ),
    ("Namespace", {"status": {"phase": "Terminating"}}, "phase is Terminating"),
    ("Service", {"spec": {"type": "LoadBalancer"}}, "no load balancer"),
    ("Service", {"spec": {"clusterIP": ""}}, "no cluster IP"),
    ("PodDisruptionBudget", {"status": {"currentHealthy": 0}}, "0 of 1 required pods"),
    ("HorizontalPodAutoscaler", condition("AbleToScale", "True"), "ScalingActive is not reported"),
    (
        "HorizontalPodAutoscaler",
        {
            "status": {
                "conditions": [
                    {"type": "AbleToScale", "status": "True"},
                    {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric"},
                ]
            }
        },
        "FailedGetResourceMetric",
    ),
    ("CustomResourceDefinition", condition("Established", "True"), "NamesAccepted is not reported"),
    ("CustomResourceDefinition", condition("NamesAccepted", "False", "ListKindConflict"), "ListKindConflict"),
    ("CustomResourceDefinition", condition("NamesAccepted", "True"), "Established is not reported"),
    (
        "APIService",
        condition("Available", "False", "MissingEndpoints", "no addresses"),
        "MissingEndpoints: no addresses",
    ),
    (
        "ValidatingWebhookConfiguration",
        {"webhooks": [{"name": "validate.example.com", "clientConfig": {"service": {"name": "operator"}}}]},
        "validate.example.com has no caBundle",
    ),
    (
        "Rollout",
        {"status": {"phase": "Progressing", "message": "more replicas need to be updated"}},
        "Progressing: more replicas",
    ),
    ("Rollout", {"status": {"phase": "Paused", "message": "CanaryPauseStep"}}, "Paused: CanaryPauseStep"),
    ("Rollout", {"status": {"observedGeneration": "6"}}, "from generation 6, but its spec is at generation 7"),
    ("Certificate", condition("Ready", "False", "Issuing", "waits for its issuer"), "Issuing: waits for its issuer"),
    ("Certificate", condition("Ready", "True", observedGeneration=1), "from generation 1, but its spec is at 2"),
    (
        "Certificate",
        condition("Issuing", "True"),
        "there is no readiness rule for Certificate, and it only has the conditions Issuing",
    ),
    (
        "Certificate",
        {
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "True"},
                    {"type": "Stalled", "status": "True", "reason": "Denied"},
                ]
            }
        },
        "Stalled is True (Denied)",
    ),
    (
        "ConfigMap",
        {"kind": "Gadget"},
        "there is no readiness rule for Gadget, and it has no conditions. Set an expression",
    ),
    # The same kind name in another API group is another kind.
    (
        "Application",
        {"apiVersion": "app.k8s.io/v1beta1", "metadata": {"generation": None}},
        "there is no readiness rule for Application",
    ),
]


@pytest.mark.parametrize(("kind", "patch", "reason"), NOT_READY)
def test_broken_object_is_not_ready_and_says_why(kind: str, patch: dict[str, t.Any], reason: str) -> None:
    status = status_of(patched(kind, patch))
    assert not status.ready
    assert not status.terminal
    assert reason in status.reason


READY: list[tuple[str, dict[str, t.Any], str]] = [
    ("Deployment", {"spec": {"replicas": 0}, "status": {"replicas": 0, "updatedReplicas": 0}}, "scaled to zero"),
    (
        "StatefulSet",
        {"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedReplicas": 0, "updateRevision": "x"}},
        "2 of 2",
    ),
    (
        "StatefulSet",
        {
            "spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}},
            "status": {"updatedReplicas": 1, "updateRevision": "x"},
        },
        "2 of 2",
    ),
    (
        "DaemonSet",
        {"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": {"updatedNumberScheduled": 0}},
        "3 of 3",
    ),
    ("Pod", {"status": {"phase": "Succeeded", "conditions": [{"type": "Ready", "status": "False"}]}}, "completed"),
    ("Node", {"spec": {"unschedulable": True, "taints": [{"key": "node.kubernetes.io/unschedulable"}]}}, "cordoned"),
    ("Node", {"spec": {"taints": [{"key": "node-role.kubernetes.io/control-plane"}]}}, "Ready"),
    ("Service", {"spec": {"clusterIP": "None"}}, "exists"),
    ("Service", {"spec": {"type": "ExternalName", "clusterIP": None}}, "exists"),
    (
        "Service",
        {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}},
        "address",
    ),
    ("Certificate", condition("Available", "True"), "Available"),
]


@pytest.mark.parametrize(("kind", "patch", "reason"), READY)
def test_what_looks_odd_but_is_as_asked_is_ready(kind: str, patch: dict[str, t.Any], reason: str) -> None:
    status = status_of(patched(kind, patch))
    assert status.ready, status.reason
    assert reason in status.reason


TERMINAL: list[tuple[str, dict[str, t.Any], str]] = [
    (
        "Job",
        condition("Failed", "True", "BackoffLimitExceeded", "reached the limit"),
        "BackoffLimitExceeded: reached the limit",
    ),
    ("Job", condition("FailureTarget", "True", "DeadlineExceeded"), "DeadlineExceeded"),
    ("Pod", {"status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory"}}, "Evicted: low on memory"),
    ("PersistentVolumeClaim", {"status": {"phase": "Lost"}}, "phase is Lost"),
    (
        "Rollout",
        {"status": {"abort": True, "phase": "Degraded", "message": "RolloutAborted: error rate"}},
        "was aborted: RolloutAborted",
    ),
]


@pytest.mark.parametrize(("kind", "patch", "reason"), TERMINAL)
def test_what_never_becomes_ready_is_terminal(kind: str, patch: dict[str, t.Any], reason: str) -> None:
    status = status_of(patched(kind, patch))
    assert not status.ready
    assert status.terminal
    assert reason in status.reason


OOM = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
PODS: list[tuple[dict[str, t.Any], str]] = [
    (
        {
            "status": {
                "phase": "Pending",
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/3 nodes are available: 3 Insufficient cpu.",
                    }
                ],
            }
        },
        "Unschedulable: 0/3 nodes are available: 3 Insufficient cpu.",
    ),
    (
        container({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}),
        "container greeter is waiting: ImagePullBackOff (image drystone.local/greeter:9): Back-off pulling image",
    ),
    (container({"waiting": {"reason": "ContainerCreating"}}), "container greeter is waiting: ContainerCreating"),
    (container({"waiting": {}}), "container greeter is waiting: not started yet"),
    (
        container(
            {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}, restartCount=4, lastState=OOM
        ),
        "container greeter is waiting: CrashLoopBackOff; restarted 4 times, last exit code 137 (OOMKilled)",
    ),
    (
        container({"terminated": {"exitCode": 2, "reason": "Error", "message": "starting\nno such table: users\n"}}),
        "container greeter exited with code 2 (Error): no such table: users",
    ),
    (container({"running": {}}, started=False), "container greeter runs, but its startup probe has not succeeded yet"),
    (
        container({"running": {}}, started=True, restartCount=1, lastState=OOM),
        "container greeter runs, but is not ready; restarted 1 times, last exit code 137 (OOMKilled)",
    ),
    # The init container is the cause; the other container only waits for it.
    (
        init_container({"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
        "init container clone is waiting: ErrImagePull (image git:1): not found",
    ),
    (init_container({"running": {}}), "init container clone is running"),
    (
        init_container({"terminated": {"exitCode": 128, "reason": "Error"}}),
        "init container clone exited with code 128 (Error)",
    ),
    (init_container({"terminated": {"exitCode": 0}}), "container greeter is waiting: PodInitializing"),
    (
        {
            "status": {
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": "gate x"}
                ]
            }
        },
        "condition Ready is False (ReadinessGatesNotReady: gate x)",
    ),
    ({"status": {"phase": "Pending", "conditions": [], "containerStatuses": []}}, "phase is Pending"),
]


@pytest.mark.parametrize(("patch", "reason"), PODS)
def test_pod_tells_what_holds_it_up(patch: dict[str, t.Any], reason: str) -> None:
    status = status_of(patched("Pod", patch))
    assert not status.ready
    assert status.reason == reason


def test_pod_with_a_sidecar_that_is_not_ready_names_the_sidecar() -> None:
    pod = init_container({"running": {}}, ready=False, started=True)
    pod["spec"] = {"initContainers": [{"name": "clone", "restartPolicy": "Always"}]}
    assert status_of(patched("Pod", pod)).reason == "init container clone runs, but is not ready"


HEAD = "3f2a9c1d5b7e9f00112233445566778899aabbcc"
OTHER = "ffffffffffffffffffffffffffffffffffffffff"
APPLICATIONS: list[tuple[dict[str, t.Any], str, str]] = [
    ({"status": {"sync": {"status": "OutOfSync"}}}, HEAD, "sync status is OutOfSync"),
    ({"status": {"sync": {"status": None}}}, HEAD, "has not compared the Application with Git yet"),
    ({"status": {"sync": {"revision": OTHER}}}, HEAD, "is at ffffffffffff, not at 3f2a9c1d5b7e"),
    ({"status": {"sync": {"revision": None}}}, HEAD, "is at no revision"),
    ({}, "3f2a9c", "is at 3f2a9c1d5b7e, not at 3f2a9c"),
    ({"status": {"health": {"status": "Progressing"}}}, HEAD, "health is Progressing"),
    ({"status": {"health": {"status": None}}}, "", "health is unknown"),
    ({"status": {"health": {"status": "Degraded", "message": "it broke"}}}, "", "health is Degraded: it broke"),
    (
        {
            "status": {
                "health": {"status": "Degraded"},
                "resources": [
                    {"kind": "Deployment", "name": "greeter", "health": {"status": "Degraded", "message": "timed out"}}
                ],
            }
        },
        "",
        "health is Degraded: Deployment greeter is Degraded: timed out",
    ),
    (
        {"status": {"operationState": {"phase": "Running", "message": "waiting for hooks"}}},
        HEAD,
        "a sync is running: waiting for hooks",
    ),
    ({"status": {"operationState": {"phase": "Terminating"}}}, HEAD, "a sync is terminating"),
    ({"operation": {"sync": {}}}, HEAD, "a sync was requested"),
    (
        {
            "status": {
                "sync": {"status": "OutOfSync"},
                "operationState": {"phase": "Failed", "message": "one object is invalid"},
            }
        },
        HEAD,
        "sync status is OutOfSync; last sync failed: one object is invalid",
    ),
    (
        {
            "status": {
                "sync": {"status": "Unknown"},
                "conditions": [{"type": "ComparisonError", "message": "repository not found"}],
            }
        },
        "",
        "sync status is Unknown; ComparisonError: repository not found",
    ),
    ({"spec": {"source": {"targetRevision": "next"}}}, "", "since its source was changed"),
    ({"spec": {"source": {"path": "elsewhere"}}}, HEAD, "since its source was changed"),
    # The Application was Healthy before the sync.
    ({"status": {"reconciledAt": "2026-01-01T00:00:10Z"}}, HEAD, "before the last sync ended"),
]


@pytest.mark.parametrize(("patch", "revision", "reason"), APPLICATIONS)
def test_application_that_is_not_there_yet(patch: dict[str, t.Any], revision: str, reason: str) -> None:
    status = application_status(patched("Application", patch), revision)
    assert not status.ready
    assert reason in status.reason


@pytest.mark.parametrize("revision", ["", HEAD, HEAD[:7], HEAD[:12].upper()])
def test_application_at_its_revision_is_ready(revision: str) -> None:
    assert application_status(HEALTHY["Application"], revision).ready


def test_application_with_several_sources_is_at_the_revision_of_any() -> None:
    sources = [{"repoURL": "a", "targetRevision": "main"}, {"repoURL": "b", "targetRevision": "main"}]
    app = patched(
        "Application",
        {
            "spec": {"source": None, "sources": sources},
            "status": {
                "sync": {
                    "revision": None,
                    "revisions": [OTHER, HEAD],
                    "comparedTo": {"source": None, "sources": sources},
                }
            },
        },
    )
    assert application_status(app, HEAD).ready
    assert not application_status(app, "0" * 40).ready


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("v1.0", "v1.0", True),
        ("abc1234", "abc1234fff", True),
        ("abc123", "abc123fff", False),
        ("abc1234fff", "abc1234", False),
    ],
)
def test_same_revision(wanted: str, found: str, same: bool) -> None:
    assert same_revision(wanted, found) is same
