# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered policies allow and forbid exactly the connections in the list.

The role tries the list in a cluster. Here the policies are evaluated by the rules of the NetworkPolicy API, so that the
list is correct for each network plugin that enforces policies.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
ENVIRONMENTS = ["dev", "staging", "production"]
NODE, POD = "172.20.0.2", "10.244.1.9"
Object = dict[str, Any]

# Services with the labels of their Pods (None: in the host's network) and their ports with the ports of the Pods
GREETER = ({"app.kubernetes.io/name": "greeter"}, {8000: 8000})
SERVICES: dict[tuple[str, str], tuple[dict[str, str] | None, dict[int, int]]] = {
    ("kube-system", "kube-dns"): ({"k8s-app": "kube-dns"}, {53: 53}),
    ("kube-system", "metrics-server"): ({"k8s-app": "metrics-server"}, {443: 10250}),
    ("default", "kubernetes"): (None, {443: 6443}),
    ("git", "git-server"): ({"app.kubernetes.io/name": "git-server"}, {2222: 2222, 8443: 8443}),
    ("argocd", "argocd-redis"): ({"app.kubernetes.io/name": "argocd-redis"}, {6379: 6379}),
    ("argocd", "argocd-repo-server"): ({"app.kubernetes.io/name": "argocd-repo-server"}, {8081: 8081, 8084: 8084}),
    ("argocd", "argocd-server"): ({"app.kubernetes.io/name": "argocd-server"}, {80: 8080}),
    ("monitoring", "kube-prometheus-stack-prometheus"): ({"app.kubernetes.io/name": "prometheus"}, {9090: 9090}),
    ("argocd", "argocd-metrics"): ({"app.kubernetes.io/name": "argocd-application-controller"}, {8082: 8082}),
    **{(name, "greeter"): GREETER for name in ENVIRONMENTS},
}
PROBE = {"app.kubernetes.io/name": "policy-probe", "app.kubernetes.io/managed-by": "drystone"}


def documents(text: str) -> list[Object]:
    return [one for one in yaml.safe_load_all(text) if one]


class Rendered:
    def __init__(self, folder: Path, variables: Object) -> None:
        folder.mkdir()
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,"]
        given = {
            "out": str(folder / "rendered.json"),
            "ansible_python_interpreter": sys.executable,
            "drystone_environments": ENVIRONMENTS,
            **variables,
        }
        play = Path(__file__).with_name("render.yml")
        done = subprocess.run(
            [*command, f"--extra-vars={json.dumps(given)}", str(play)],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        texts: dict[str, str] = json.loads((folder / "rendered.json").read_text())
        self.objects = documents(texts["environments.yml.j2"]) + documents(texts["platform.yml.j2"])
        self.namespaces = documents(texts["namespaces.yml.j2"])
        self.connections: list[Object] = yaml.safe_load(texts["connections.yml.j2"])
        self.policies = [one for one in self.objects if one["kind"] == "NetworkPolicy"]
        self.argocd: list[Object] = yaml.safe_load(texts["policies.yml.j2"])
        self.argocd_namespace = variables.get("argocd_namespace", "argocd")

    def bound(self, kind: str, namespace: str) -> Object:
        found: list[Object] = [
            one["spec"] for one in self.objects if one["kind"] == kind and one["metadata"]["namespace"] == namespace
        ]
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    return Rendered(tmp_path_factory.mktemp("guardrails") / "all", {})


def argocd_policies(rendered: Rendered) -> list[Object]:
    """Return upstream's policies with the patches of the role argocd. The policy of Redis is unchanged."""
    parts = ["argocd-server", "argocd-repo-server", "argocd-application-controller"]
    redis = [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}} for name in parts]
    spec = {"ingress": [{"from": redis, "ports": [{"protocol": "TCP", "port": 6379}]}]}
    found = [one["patch"] for one in rendered.argocd]
    found.append({"metadata": {"name": "argocd-redis-network-policy"}, "spec": spec})
    for one in found:
        name = one["metadata"]["name"].removesuffix("-network-policy")
        one["metadata"]["namespace"] = rendered.argocd_namespace
        one["spec"] |= {
            "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "policyTypes": ["Ingress"],
        }
    return found


@pytest.fixture(scope="module")
def policies(rendered: Rendered) -> list[Object]:
    (greeter,) = documents((ROOT / "deploy/workloads/greeter/base/network-policy.yaml").read_text())
    greeter["spec"]["ingress"][0]["ports"] = [{"protocol": "TCP", "port": 8000}]  # the port with the name http
    apps = [{**greeter, "metadata": {"name": "greeter", "namespace": name}} for name in ENVIRONMENTS]
    for part, port in {"backend": 8000, "database": 5432, "frontend": 8080}.items():
        (rokken,) = documents((ROOT / f"deploy/workloads/rokken/base/{part}/network-policy.yaml").read_text())
        rokken["spec"]["ingress"][0]["ports"] = [{"protocol": "TCP", "port": port}]
        apps.append({**rokken, "metadata": {"name": f"rokken-{part}", "namespace": "dev"}})
    return rendered.policies + argocd_policies(rendered) + apps


def rokken(part: str) -> End:
    """Return a Pod of Rokken with its labels."""
    path = ROOT / f"deploy/workloads/rokken/base/{part}/kustomization.yaml"
    return End("dev", yaml.safe_load(path.read_text())["labels"][0]["pairs"])


class End:
    """One end of a connection: a Pod, or a node if there are no labels."""

    def __init__(self, namespace: str, labels: dict[str, str] | None) -> None:
        self.namespace = namespace
        self.labels = labels
        self.address = ipaddress.ip_address(NODE if labels is None else POD)


def selects(selector: Object, labels: dict[str, str]) -> bool:
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    meanings = {
        "Exists": lambda one: one["key"] in labels,
        "DoesNotExist": lambda one: one["key"] not in labels,
        "NotIn": lambda one: labels.get(one["key"]) not in one["values"],
    }
    expressions = selector.get("matchExpressions", [])
    return bool(selector.get("matchLabels", {}).items() <= labels.items()) and all(
        meanings[one["operator"]](one) for one in expressions
    )


def matches(peer: Object, end: End, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        excepted = any(end.address in ipaddress.ip_network(one) for one in block.get("except", []))
        return end.address in ipaddress.ip_network(block["cidr"]) and not excepted
    if end.labels is None:
        return False
    if "namespaceSelector" in peer:
        if not selects(peer["namespaceSelector"], {"kubernetes.io/metadata.name": end.namespace}):
            return False
    elif end.namespace != namespace:
        return False
    return selects(peer.get("podSelector", {}), end.labels)


def passes(policies: list[Object], direction: str, own: End, other: End, port: int) -> bool:
    """Return whether the policies of one end allow a connection."""
    if own.labels is None:
        return True
    about = [
        one["spec"]
        for one in policies
        if one["metadata"]["namespace"] == own.namespace
        and direction in one["spec"]["policyTypes"]
        and selects(one["spec"]["podSelector"], own.labels)
    ]
    key = "from" if direction == "Ingress" else "to"
    return not about or any(
        (not rule.get(key) or any(matches(peer, other, own.namespace) for peer in rule[key]))
        and (not rule.get("ports") or any(one.get("port") == port for one in rule["ports"]))
        for spec in about
        for rule in spec.get(direction.lower(), [])
    )


def allowed(policies: list[Object], source: End, target: End, port: int) -> bool:
    return passes(policies, "Egress", source, target, port) and passes(policies, "Ingress", target, source, port)


def test_every_connection_of_the_list_is_what_the_policies_say(rendered: Rendered, policies: list[Object]) -> None:
    wrong = []
    for one in rendered.connections:
        # In this test the greeter is the only Service of an environment.
        labels, ports = SERVICES[one["namespace"], one.get("service", "greeter")]
        port = ports[one.get("port", 8000)]
        found = allowed(policies, End(one["source"], PROBE), End(one["namespace"], labels), port)
        if found != (one["expected"] == "allowed"):
            wrong.append(one)
    assert wrong == []


def test_the_list_has_both_for_every_namespace_it_starts_from(rendered: Rendered) -> None:
    for source in [*ENVIRONMENTS, "argocd", "monitoring"]:
        assert {one["expected"] for one in rendered.connections if one["source"] == source} == {"allowed", "denied"}
    assert len({json.dumps(one) for one in rendered.connections}) == len(rendered.connections)


def test_nothing_is_tried_where_nothing_is_deployed(tmp_path: Path) -> None:
    made = Rendered(tmp_path / "rendered", {"guardrails_probe_environments": ["staging"]})
    into = {one["namespace"] for one in made.connections} & set(ENVIRONMENTS)
    assert into == {"staging"}
    assert {one["source"] for one in made.connections} >= set(ENVIRONMENTS)


def part(name: str) -> End:
    return End("argocd", {"app.kubernetes.io/name": f"argocd-{name}"})


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (part("application-controller"), part("redis"), 6379),
        (part("application-controller"), part("repo-server"), 8081),
        (part("applicationset-controller"), part("repo-server"), 8081),
        (part("server"), part("repo-server"), 8081),
        (part("server"), part("redis"), 6379),
        (part("repo-server"), part("redis"), 6379),
        (part("repo-server"), End("git", {"app.kubernetes.io/name": "git-server"}), 2222),
        (part("repo-server"), End("elsewhere", None), 443),
        (part("application-controller"), End("default", None), 6443),
        (End("", None), part("server"), 8080),
        (End("ingress", {"app.kubernetes.io/name": "traefik"}), part("server"), 8080),
        (End("monitoring", {}), part("server"), 8083),
        (End("monitoring", {}), part("repo-server"), 8084),
        (End("monitoring", {}), part("applicationset-controller"), 8080),
        (End("ingress", {"app.kubernetes.io/name": "traefik"}), End("dev", GREETER[0]), 8000),
        (End("", None), End("dev", GREETER[0]), 8000),
        (End("", None), End("git", {"app.kubernetes.io/name": "git-server"}), 2222),
        (End("", None), End("git", {"app.kubernetes.io/name": "git-server"}), 8443),
        (End("", None), End("ingress", {"app.kubernetes.io/name": "traefik"}), 8000),
        (End("monitoring", {}), End("reloader", {}), 9090),
        (End("reloader", {}), End("default", None), 6443),
        (End("argo-rollouts", {}), End("default", None), 6443),
        (End("argo-rollouts", {}), End("monitoring", {}), 9090),
    ],
)
def test_the_platform_works_under_its_policies(policies: list[Object], source: End, target: End, port: int) -> None:
    assert allowed(policies, source, target, port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        (part("applicationset-controller"), part("redis"), 6379),
        (End("monitoring", {}), part("redis"), 6379),
        (End("monitoring", {}), part("server"), 8080),
        (End("ingress", {}), part("repo-server"), 8081),
        (End("", None), part("redis"), 6379),
        (End("git", {}), part("server"), 8080),
        (End("git", {}), End("default", None), 6443),
        (End("git", {}), End("elsewhere", None), 443),
        (End("reloader", {}), End("dev", GREETER[0]), 8000),
        (End("dev", GREETER[0]), End("elsewhere", None), 443),
        (End("dev", GREETER[0]), End("monitoring", {}), 9090),
        (End("monitoring", {}), End("git", {"app.kubernetes.io/name": "git-server"}), 2222),
    ],
)
def test_what_nobody_needs_is_denied(policies: list[Object], source: End, target: End, port: int) -> None:
    assert not allowed(policies, source, target, port)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_is_closed_both_ways_and_bounded(rendered: Rendered, environment: str) -> None:
    (deny,) = [
        one["spec"]
        for one in rendered.policies
        if one["metadata"] == {**one["metadata"], "name": "default-deny", "namespace": environment}
    ]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert rendered.bound("LimitRange", environment)["limits"][0]["type"] == "Container"


def test_the_quota_has_room_for_the_greeter_while_it_rolls_in_production(rendered: Rendered) -> None:
    # Five replicas and an additional Pod of a rollout, with the sizes of production.
    path = ROOT / "deploy/environments/production/greeter/kustomization.yaml"
    patches = {
        one["target"]["kind"]: yaml.safe_load(one["patch"]) for one in yaml.safe_load(path.read_text())["patches"]
    }
    limits = patches["Deployment"][0]["value"]["limits"]
    most = next(one["value"] for one in patches["HorizontalPodAutoscaler"] if one["path"] == "/spec/maxReplicas") + 1
    hard = rendered.bound("ResourceQuota", "production")["hard"]
    assert int(hard["pods"]) > most
    assert int(hard["limits.cpu"]) >= most * int(limits["cpu"])
    assert int(hard["limits.memory"].removesuffix("Gi")) * 1024 >= most * int(limits["memory"].removesuffix("Mi"))


def test_the_namespaces_are_restricted_at_the_version_of_the_cluster(rendered: Rendered) -> None:
    pins = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    minor = ".".join(pins["drystone_kubernetes_version"].split(".")[:2])
    for one in rendered.namespaces:
        labels = one["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert labels["pod-security.kubernetes.io/enforce-version"] == f"v{minor}"


def test_without_a_git_server_nothing_is_said_of_its_namespace(tmp_path: Path) -> None:
    found = Rendered(tmp_path / "own", {"workloads_repo_url": "https://git.example.org/platform.git"})
    assert [one for one in found.objects if one["metadata"].get("namespace") == "git"] == []
    assert [one for one in found.connections if one["namespace"] == "git"] == []


def test_more_policies_are_added_and_pods_of_a_namespace_kept_apart_on_request(tmp_path: Path) -> None:
    extra = {"namespace": "dev", "name": "allow-out", "spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
    found = Rendered(tmp_path / "more", {"guardrails_policies": [extra], "guardrails_same_namespace": False})
    names = [one["metadata"]["name"] for one in found.policies if one["metadata"]["namespace"] == "dev"]
    assert "allow-out" in names
    assert not [name for name in names if "same-namespace" in name]
    assert [one for one in found.connections if one["source"] == "dev" and one["namespace"] == "dev"] == []


@pytest.mark.parametrize("port", [2222, 8443])
def test_the_git_server_lets_in_what_has_content_from_git_and_nothing_else(policies: list[Object], port: int) -> None:
    server = End("git", SERVICES["git", "git-server"][0])
    syncer = End("elsewhere", {"drystone.dev/git-content": "site"})
    assert passes(policies, "Ingress", server, syncer, port)
    assert not passes(policies, "Ingress", server, End("dev", GREETER[0]), port)
    # The role git_sync allows the egress from an environment.
    assert not allowed(policies, End("dev", {"drystone.dev/git-content": "site"}), server, port)


TRAEFIK = End("ingress", {"app.kubernetes.io/name": "traefik"})
PROMETHEUS = End("monitoring", {})
GREETER_POD = End("dev", GREETER[0])
NODE_ITSELF = End("", None)


@pytest.mark.parametrize(
    ("target", "port", "clients"),
    [
        ("database", 5432, ["backend"]),
        ("backend", 8000, ["frontend", "ingress", "prometheus", "node"]),
        ("frontend", 8080, ["backend", "database", "frontend", "greeter", "ingress", "prometheus", "node"]),
    ],
)
def test_only_the_clients_of_each_part_of_rokken_reach_it(
    policies: list[Object], target: str, port: int, clients: list[str]
) -> None:
    sources = {
        **{part: rokken(part) for part in ("backend", "database", "frontend")},
        "greeter": GREETER_POD,
        "ingress": TRAEFIK,
        "prometheus": PROMETHEUS,
        "node": NODE_ITSELF,
    }
    found = {name for name, source in sources.items() if allowed(policies, source, rokken(target), port)}
    assert found == set(clients)


def test_an_isolated_pod_may_still_connect_to_its_namespace(policies: list[Object]) -> None:
    assert passes(policies, "Egress", rokken("backend"), rokken("database"), 5432)
    assert allowed(policies, rokken("database"), GREETER_POD, 8000)
