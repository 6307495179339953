"""The resource metrics API answers for all nodes and Pods, so kubectl top and autoscaling work."""

from __future__ import annotations

import json
from typing import Any

from drystone_testing import Kubectl, wait_until


def test_the_metrics_api_is_available(kubectl: Kubectl) -> None:
    status = kubectl.json("get", "apiservice", "v1beta1.metrics.k8s.io")["status"]
    assert [one["status"] for one in status["conditions"] if one["type"] == "Available"] == ["True"]


def test_top_answers_for_every_node(kubectl: Kubectl, variables: dict[str, Any]) -> None:
    name = variables["cluster_name"]
    nodes = {f"{name}-control-plane", f"{name}-worker", f"{name}-worker2"}
    # The first metrics need two scrapes.
    assert wait_until(lambda: nodes <= {line.split()[0] for line in top(kubectl, "nodes")}, timeout=90)


def top(kubectl: Kubectl, what: str, *flags: str) -> list[str]:
    return [line for line in kubectl.run("top", what, "--no-headers", *flags).stdout.splitlines() if line]


def test_pods_have_figures(kubectl: Kubectl) -> None:
    assert wait_until(lambda: any("metrics-server" in line for line in top(kubectl, "pods", "--namespace=kube-system")))
    listed = json.loads(kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/kube-system/pods"))
    assert all(item["containers"] for item in listed["items"])


def test_kubelets_are_checked_where_their_certificates_are_signed_and_only_there(
    kubectl: Kubectl, variables: dict[str, Any]
) -> None:
    pods = kubectl.items("pods", "--namespace=kube-system", "--selector=k8s-app=metrics-server")
    arguments = [word for pod in pods for one in pod["spec"]["containers"] for word in one.get("args", [])]
    assert ("--kubelet-insecure-tls" in arguments) != variables["verify_kubelets"]
    assert (
        any(word.startswith("--kubelet-certificate-authority=") for word in arguments) == variables["verify_kubelets"]
    )
