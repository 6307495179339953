"""A canary pauses and continues after its promotion. The controller cannot read Secrets of other namespaces."""

from __future__ import annotations

from typing import Any

from drystone_testing import Http, Kubectl, Playbook, wait_until

ACCOUNT = "argo-rollouts/argo-rollouts"


def rollout(namespace: str, image: str, version: str) -> dict[str, Any]:
    """A Rollout with four idle replicas, of which a quarter is the canary."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"canary": {"maxSurge": 1, "maxUnavailable": 0, "steps": [{"setWeight": 25}, {"pause": {}}]}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "web",
                            "image": image,
                            "command": ["sleep", "infinity"],
                            "env": [{"name": "VERSION", "value": version}],
                            "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}},
                        }
                    ],
                },
            },
        },
    }


def versions(kubectl: Kubectl, namespace: str) -> list[str]:
    """Return the images of the ready Pods."""
    pods = kubectl.items("pods", f"--namespace={namespace}", "--selector=app=web")
    return sorted(
        pod["spec"]["containers"][0]["env"][0]["value"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", []))
    )


def phase(kubectl: Kubectl, namespace: str) -> str:
    found = kubectl.json("get", "rollout", "web", f"--namespace={namespace}")
    if str(found.get("status", {}).get("observedGeneration")) != str(found["metadata"]["generation"]):
        return ""
    return str(found["status"].get("phase", ""))


def test_a_canary_pauses_and_goes_on_when_it_may(kubectl: Kubectl, namespace: str, variables: dict[str, Any]) -> None:
    image = variables["images"]["redis"]
    kubectl.apply(rollout(namespace, image, "1"))
    assert wait_until(lambda: phase(kubectl, namespace) == "Healthy", timeout=120)
    assert versions(kubectl, namespace) == ["1"] * 4

    kubectl.apply(rollout(namespace, image, "2"))
    assert wait_until(lambda: phase(kubectl, namespace) == "Paused", timeout=120)
    assert wait_until(lambda: versions(kubectl, namespace) == ["1", "1", "1", "2"], timeout=60)
    # The Rollout stays paused.
    assert not wait_until(lambda: versions(kubectl, namespace) != ["1", "1", "1", "2"], timeout=10)

    going_on = '{"status": {"pauseConditions": null, "controllerPause": false, "currentStepIndex": 2}}'
    kubectl(
        "patch",
        "rollout",
        "web",
        f"--namespace={namespace}",
        "--subresource=status",
        "--type=merge",
        "--patch",
        going_on,
    )
    assert wait_until(lambda: phase(kubectl, namespace) == "Healthy", timeout=120)
    assert wait_until(lambda: versions(kubectl, namespace) == ["2"] * 4, timeout=60)


def test_the_namespace_enforces_restricted_pods_and_the_image_is_the_map_s(
    kubectl: Kubectl, variables: dict[str, Any]
) -> None:
    labels = kubectl.json("get", "namespace", "argo-rollouts")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    (pod,) = kubectl.items("pods", "--namespace=argo-rollouts")
    (container,) = pod["spec"]["containers"]
    assert container["image"] == variables["images"]["argo_rollouts"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert set(container["resources"]["requests"]) >= {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


def test_what_the_controller_may_do(kubectl: Kubectl) -> None:
    table = {
        "update rollouts.argoproj.io default": True,
        "create replicasets.apps default": True,
        "get secrets argo-rollouts": True,
        "get secrets default": False,
        "list secrets kube-system": False,
        "get configmaps kube-system": False,
        "create pods default": False,
        "update leases.coordination.k8s.io kube-system": False,
    }
    assert dict(zip(table, kubectl.may(ACCOUNT, *table), strict=True)) == table


def test_its_metrics_are_served(http: Http) -> None:
    answer = http.get("argo-rollouts", "argo-rollouts-metrics", 8090, "/metrics")
    assert answer.status_code == 200
    assert "controller_clientset_k8s_request_total" in answer.text


def test_a_lost_pod_comes_back_and_a_drifted_field_is_put_right(kubectl: Kubectl) -> None:
    kubectl("delete", "pods", "--all", "--namespace=argo-rollouts")
    kubectl("scale", "deployment/argo-rollouts", "--namespace=argo-rollouts", "--replicas=0")
    done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=argo_rollouts")
    assert done.code == 0, done.output
    assert kubectl.json("get", "deployment", "argo-rollouts", "--namespace=argo-rollouts")["spec"]["replicas"] == 1
    kubectl("rollout", "status", "deployment/argo-rollouts", "--namespace=argo-rollouts", "--timeout=120s")
