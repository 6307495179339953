"""All Pods are restricted, and the accounts of the platform have only the dangerous rights in this file."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from drystone_testing import Kubectl

# Rights that would give control over a namespace, an environment or the cluster. {own} is the account's namespace.
QUESTIONS = {
    "own secrets": "get secrets {own}",
    "secrets of an environment": "get secrets dev",
    "secrets of the system": "get secrets kube-system",
    "exec": "create pods/exec dev",
    "deploy": "create deployments.apps dev",
    "change": "update deployments.apps dev",
    "policies": "delete networkpolicies.networking.k8s.io dev",
    "quotas": "update resourcequotas dev",
    "namespaces": "delete namespaces",
    "rights": "create clusterrolebindings.rbac.authorization.k8s.io",
    "kubelets": "create nodes/proxy",
}
# The expected rights of each account. An account that is not listed must have none of them.
TABLE: dict[str, set[str]] = {
    # Argo CD applies all objects in Git. Projects and admission policies limit these objects.
    "argocd/argocd-application-controller": set(QUESTIONS),
    "argocd/argocd-applicationset-controller": {"own secrets"},
    "argocd/argocd-server": {"own secrets"},
    "argo-rollouts/argo-rollouts": {"own secrets", "change"},
    # Secrets contain the certificates of Ingresses.
    "ingress/traefik": {"secrets of an environment"},
    # The operator writes configurations. It may not read Secrets to which monitors of other namespaces refer.
    "monitoring/*operator": {"own secrets"},
    "reloader/reloader": {"secrets of an environment", "change"},
}
UNRESTRICTED = {"kube-system", "node-exporter"}


@pytest.fixture(scope="module")
def accounts(kubectl: Kubectl) -> list[str]:
    pods = kubectl.items("pods", "--all-namespaces")
    pods = [pod for pod in pods if pod["metadata"]["namespace"] != "kube-system"]
    return sorted({f"{pod['metadata']['namespace']}/{pod['spec']['serviceAccountName']}" for pod in pods})


def test_every_account_may_do_what_the_table_says(kubectl: Kubectl, accounts: list[str]) -> None:
    wrong = []
    for account in accounts:
        namespace = account.partition("/")[0]
        expected = next((rights for pattern, rights in TABLE.items() if fnmatch(account, pattern)), set())
        allowed = kubectl.may(account, *(question.format(own=namespace) for question in QUESTIONS.values()))
        wrong += [
            f"{account}: {title}: {answer}"
            for title, answer in zip(QUESTIONS, allowed, strict=True)
            if answer != (title in expected)
        ]
    assert wrong == []


def test_the_table_names_no_account_that_is_gone(accounts: list[str]) -> None:
    assert [one for one in TABLE if not any(fnmatch(account, one) for account in accounts)] == []


def test_default_accounts_have_no_rights(kubectl: Kubectl) -> None:
    for one in kubectl.items("serviceaccounts", "--all-namespaces", "--field-selector=metadata.name=default"):
        namespace = one["metadata"]["namespace"]
        assert kubectl.may(f"{namespace}/default", "list pods " + namespace) == [False], namespace


def test_pods_that_never_ask_the_api_server_have_no_token(kubectl: Kubectl) -> None:
    for namespace, name in (("git", "git-server"), ("dev", "greeter"), ("argocd", "argocd-redis")):
        spec = kubectl.json("get", "deployment", name, f"--namespace={namespace}")["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False


def test_every_pod_passes_restricted(kubectl: Kubectl) -> None:
    # The API server checks existing Pods when a namespace gets a Pod Security level.
    namespaces = {pod["metadata"]["namespace"] for pod in kubectl.items("pods", "--all-namespaces")} - UNRESTRICTED
    assert {"argocd", "dev", "git"} <= namespaces
    level = "pod-security.kubernetes.io/enforce"
    told = {
        name: kubectl.run(
            "label",
            "namespace",
            name,
            f"{level}=restricted",
            f"{level}-version=latest",
            "--overwrite",
            "--dry-run=server",
        )
        for name in sorted(namespaces)
    }
    assert {name: done.stderr for name, done in told.items() if done.returncode or "violate" in done.stderr} == {}
    checked = kubectl.run("label", "namespace", "kube-system", f"{level}=restricted", "--overwrite", "--dry-run=server")
    assert "violate" in checked.stderr  # otherwise no request is sent to the API server
