"""Argo CD permits no access by default, and its default project permits nothing."""

from __future__ import annotations

from typing import Any

import pytest

from drystone_testing import Http, Kubectl, wait_until

PARTS = {
    "statefulset/argocd-application-controller",
    "deployment/argocd-applicationset-controller",
    "deployment/argocd-redis",
    "deployment/argocd-repo-server",
    "deployment/argocd-server",
}


@pytest.fixture(scope="module")
def pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    return kubectl.items("pods", "--namespace=argocd")


def test_exactly_the_parts_we_use_run(kubectl: Kubectl) -> None:
    listed = kubectl("get", "deployments,statefulsets", "--namespace=argocd", "--output=name").split()
    assert {name.replace(".apps", "") for name in listed} == PARTS


def test_every_pod_is_ready_and_was_never_restarted(pods: list[dict[str, Any]]) -> None:
    states = [one for pod in pods for one in pod["status"]["containerStatuses"]]
    assert [one["name"] for one in states if not one["ready"] or one["restartCount"]] == []


def test_images_come_from_the_one_map(pods: list[dict[str, Any]], variables: dict[str, Any]) -> None:
    used = {one["image"] for pod in pods for one in pod["spec"]["containers"] + pod["spec"].get("initContainers", [])}
    assert used == {variables["images"]["argocd"], variables["images"]["redis"]}


def test_the_namespace_enforces_restricted_pods(kubectl: Kubectl) -> None:
    labels = kubectl.json("get", "namespace", "argocd")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_has_requests_and_a_memory_limit(pods: list[dict[str, Any]]) -> None:
    containers = [one for pod in pods for one in pod["spec"]["containers"]]
    assert [
        one["name"]
        for one in containers
        if set(one["resources"].get("requests", {})) != {"cpu", "memory"} or "memory" not in one["resources"]["limits"]
    ] == []


def test_nobody_can_log_in(kubectl: Kubectl, http: Http) -> None:
    config = kubectl.json("get", "configmap", "argocd-cm", "--namespace=argocd")["data"]
    assert config["admin.enabled"] == "false"
    assert config["users.anonymous.enabled"] == "false"
    assert "argocd-initial-admin-secret" not in kubectl("get", "secrets", "--namespace=argocd", "--output=name")
    answer = http.get("argocd", "argocd-server", 80, "/api/v1/applications")
    assert answer.status_code == 401


def test_the_api_server_has_no_rights_over_the_cluster(kubectl: Kubectl) -> None:
    assert kubectl.may("argocd/argocd-server", "delete pods kube-system") == [False]


def test_redis_wants_its_password_and_cannot_make_secrets(kubectl: Kubectl) -> None:
    answer = kubectl("exec", "--namespace=argocd", "deployment/argocd-redis", "--", "redis-cli", "ping")
    assert "NOAUTH" in answer
    assert kubectl.may("argocd/argocd-redis", "create secrets argocd") == [False]


def test_whoever_logs_in_may_do_nothing_by_default(kubectl: Kubectl) -> None:
    rights = kubectl.json("get", "configmap", "argocd-rbac-cm", "--namespace=argocd")["data"]
    assert rights["policy.default"] == ""
    lines = [line.split(", ") for line in rights["policy.csv"].splitlines()]
    assert {line[0] for line in lines} == {"p"}  # the policy defines a role, but assigns it to nobody
    assert {line[3] for line in lines} == {"get"}


def test_an_application_within_an_application_has_a_health(kubectl: Kubectl) -> None:
    config = kubectl.json("get", "configmap", "argocd-cm", "--namespace=argocd")["data"]
    assert "obj.status.health.status" in config["resource.customizations.health.argoproj.io_Application"]


@pytest.mark.parametrize(
    "service", ["argocd-metrics", "argocd-server-metrics", "argocd-repo-server", "argocd-applicationset-controller"]
)
def test_metrics_can_be_found_by_a_monitor(kubectl: Kubectl, service: str) -> None:
    found = kubectl.json("get", "service", service, "--namespace=argocd")
    assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "argocd"
    assert "metrics" in [one["name"] for one in found["spec"]["ports"]]


def test_redis_and_the_repo_server_are_for_argo_cd_alone(kubectl: Kubectl) -> None:
    def peers(name: str, port: int) -> set[str]:
        spec = kubectl.json("get", "networkpolicy", f"{name}-network-policy", "--namespace=argocd")["spec"]
        assert spec["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": name}
        rules = [rule["from"] for rule in spec["ingress"] if any(one["port"] == port for one in rule["ports"])]
        found = [peer for rule in rules for peer in rule]
        assert [peer for peer in found if set(peer) != {"podSelector"}] == []
        return {peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in found}

    parts = {"argocd-server", "argocd-application-controller"}
    assert peers("argocd-redis", 6379) == parts | {"argocd-repo-server"}
    assert peers("argocd-repo-server", 8081) == parts | {"argocd-applicationset-controller"}


def test_the_default_project_allows_nothing(kubectl: Kubectl) -> None:
    spec = kubectl.json("get", "appproject", "default", "--namespace=argocd")["spec"]
    assert not spec.get("sourceRepos")
    assert not spec.get("destinations")
    assert not spec.get("clusterResourceWhitelist")


def test_an_application_in_the_default_project_is_refused(kubectl: Kubectl) -> None:
    name = "test-default-project"
    source = {
        "repoURL": "ssh://git@git-server.git.svc:2222/srv/git/platform.git",
        "path": "deploy",
        "targetRevision": "main",
    }
    kubectl.apply(
        {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": source,
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
            },
        }
    )

    def refused() -> bool:
        status = kubectl.json("get", "application", name, "--namespace=argocd").get("status", {})
        return any(one["type"] == "InvalidSpecError" for one in status.get("conditions", []))

    try:
        assert wait_until(refused, timeout=90)
    finally:
        kubectl("delete", "application", name, "--namespace=argocd")
