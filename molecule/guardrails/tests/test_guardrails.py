"""Neither a Pod nor Git nor a workload can do what the guardrails forbid. Test connections check the policies."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from drystone_testing import Kubectl, Playbook

ENVIRONMENTS = ("dev", "staging", "production")
PLATFORM = ("argocd", "git")
PROBE = "molecule/guardrails/probe.yml"
ARGOCD = "--as=system:serviceaccount:argocd:argocd-application-controller"
WORKLOAD = "--as=system:serviceaccount:dev:default"
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1001,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def dry_run(
    kubectl: Kubectl, obj: dict[str, Any], *flags: str, command: str = "create"
) -> subprocess.CompletedProcess[str]:
    return kubectl.run(command, "--dry-run=server", "--filename=-", *flags, stdin=yaml.safe_dump(obj))


def policy(name: str = "own", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "dev"},
        "spec": {"podSelector": {}, **spec},
    }


def pod(**container: Any) -> dict[str, Any]:
    one = {"name": "one", "image": "drystone.local/none:1", "securityContext": RESTRICTED, **container}
    metadata = {"name": "test-guardrails", "namespace": "dev"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [one]}}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environments_enforce_restricted_pods_of_a_fixed_version(kubectl: Kubectl, name: str) -> None:
    labels = kubectl.json("get", "namespace", name)["metadata"]["labels"]
    assert labels["drystone.dev/environment"] == name
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert re.fullmatch(r"v1\.\d+", labels["pod-security.kubernetes.io/enforce-version"])


@pytest.mark.parametrize("name", ENVIRONMENTS + PLATFORM)
def test_every_namespace_has_its_bounds(kubectl: Kubectl, name: str) -> None:
    quota = kubectl.json("get", "resourcequota", "guardrails", f"--namespace={name}")
    assert quota["status"]["hard"] == quota["spec"]["hard"]
    assert kubectl.json("get", "limitrange", "guardrails", f"--namespace={name}")["spec"]["limits"]
    spec = kubectl.json("get", "networkpolicy", "default-deny", f"--namespace={name}")["spec"]
    assert spec["podSelector"] == {}
    assert "ingress" not in spec
    assert "egress" not in spec


def test_a_pod_that_is_not_restricted_is_refused(kubectl: Kubectl) -> None:
    done = dry_run(kubectl, pod(securityContext={"privileged": True}))
    assert 'violates PodSecurity "restricted:v' in done.stderr
    assert dry_run(kubectl, pod()).returncode == 0


def test_a_container_gets_what_it_does_not_say_and_not_more_than_there_is(kubectl: Kubectl) -> None:
    made = dry_run(kubectl, pod(), "--output=yaml")
    resources = yaml.safe_load(made.stdout)["spec"]["containers"][0]["resources"]
    assert resources == {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "256Mi"}}
    greedy = dry_run(kubectl, pod(resources={"limits": {"cpu": "64", "memory": "64Gi"}}))
    assert "maximum cpu usage per Container" in greedy.stderr


def test_no_port_of_a_node_is_opened_from_an_environment(kubectl: Kubectl) -> None:
    metadata = {"name": "test-guardrails", "namespace": "dev"}
    spec = {"type": "NodePort", "ports": [{"port": 80}], "selector": {"app": "none"}}
    done = dry_run(kubectl, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    assert "exceeded quota" in done.stderr


# A workload's account lacks this right anyway. Impersonate it with all rights, so that only its name matters.
@pytest.mark.parametrize("who", [[ARGOCD], [WORKLOAD, "--as-group=system:masters"]], ids=["argocd", "workload"])
@pytest.mark.parametrize("what", ["networkpolicy/default-deny", "resourcequota/guardrails", "limitrange/guardrails"])
def test_neither_git_nor_a_workload_removes_what_is_the_platform_s(kubectl: Kubectl, who: list[str], what: str) -> None:
    done = kubectl.run("delete", what, "--namespace=dev", "--dry-run=server", *who)
    assert done.returncode != 0
    assert "belongs to the platform" in done.stderr


def test_git_changes_nothing_of_it_either(kubectl: Kubectl) -> None:
    found = kubectl.json("get", "networkpolicy", "default-deny", "--namespace=dev")
    changed = policy("default-deny", podSelector={"matchLabels": {"app": "one"}})
    changed["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
    assert "belongs to the platform" in dry_run(kubectl, changed, ARGOCD, command="replace").stderr


def test_git_brings_no_quota_of_its_own(kubectl: Kubectl) -> None:
    metadata = {"name": "own", "namespace": "dev"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"pods": "1000"}}}
    assert "only the platform may create a" in dry_run(kubectl, quota, ARGOCD).stderr
    assert dry_run(kubectl, quota).returncode == 0


@pytest.mark.parametrize(
    "spec",
    [
        {"ingress": [{}]},
        {"ingress": [{"from": []}]},
        {"ingress": [{"from": [{"namespaceSelector": {}}]}]},
        {"ingress": [{"from": [{"podSelector": {}}]}, {"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
        {"egress": [{}], "policyTypes": ["Egress"]},
        {"egress": [{"to": [{"namespaceSelector": {}, "podSelector": {}}]}], "policyTypes": ["Egress"]},
        {"egress": [{"ports": [{"port": 443}]}], "policyTypes": ["Egress"]},
    ],
)
def test_git_brings_no_policy_that_reaches_beyond_its_namespace(kubectl: Kubectl, spec: dict[str, Any]) -> None:
    assert "applies to other namespaces" in dry_run(kubectl, policy(**spec), ARGOCD).stderr
    assert dry_run(kubectl, policy(**spec)).returncode == 0


def test_an_app_s_policy_for_its_own_namespace_is_its_own(kubectl: Kubectl) -> None:
    within = {"from": [{"podSelector": {"matchLabels": {"app": "one"}}}], "ports": [{"port": 80}]}
    assert dry_run(kubectl, policy(ingress=[within]), ARGOCD).returncode == 0
    assert dry_run(kubectl, policy(), ARGOCD).returncode == 0  # an empty policy is always allowed


@pytest.fixture
def parts(kubectl: Kubectl, variables: dict[str, Any]) -> dict[str, Any]:
    """The parts in the cluster: all of them, or only those that the scenario of this role applies."""
    everything = kubectl.run("get", "namespace", "monitoring").returncode == 0
    return {"drystone_parts": variables["parts"] if everything else ["guardrails", "git_server", "argocd"]}


def test_every_run_says_from_trying_whether_policies_hold_and_leaves_nothing(
    kubectl: Kubectl, parts: dict[str, Any]
) -> None:
    told = Playbook(PROBE, parts)
    assert told.code == 0, told.output
    text = " ".join(told.output.split())
    assert re.search(r"Network policies (ARE enforced: all|are NOT enforced: all) \d+", text), told.output
    assert "changed=0" in told.output
    assert kubectl.items("pods", "--all-namespaces", "--selector=app.kubernetes.io/name=policy-probe") == []


def test_where_enforcement_is_required_its_absence_is_an_error(parts: dict[str, Any]) -> None:
    told = Playbook(PROBE, {**parts, "guardrails_require_enforcement": True})
    enforced = "ARE enforced" in told.output
    assert (told.code == 0) == enforced
    assert enforced or "Enforcement is required (require_enforcement)." in " ".join(told.output.split())


def test_check_mode_tries_nothing_and_says_so(parts: dict[str, Any]) -> None:
    told = Playbook(PROBE, parts, "--check")
    assert told.code == 0, told.output
    assert "was not tested" in told.output
    assert "changed=0" in told.output
