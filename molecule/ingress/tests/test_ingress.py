"""Requests to the host of an Ingress succeed from this host, others get 404. Traefik can only read what it serves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from testinfra.host import Host

from drystone_testing import Http, Kubectl, Playbook, wait_until

ACCOUNT = "ingress/traefik"
NAMESPACE = "dev"
PAGE = "from-behind-the-ingress"


def objects(name: str, image: str, host: str) -> list[dict[str, Any]]:
    """A web server with one page, its Service, and an Ingress without a class."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    serve = (
        "import http.server as s\n"
        "class H(s.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers()\n"
        f"        self.wfile.write(f'{PAGE} {{self.path}} {{self.headers[\"X-Forwarded-Proto\"]}}'.encode())\n"
        "s.ThreadingHTTPServer(('', 8000), H).serve_forever()\n"
    )
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "web",
                "image": image,
                "command": ["python3", "-c", serve],
                "ports": [{"containerPort": 8000}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    backend = {"service": {"name": name, "port": {"number": 80}}}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": metadata,
            "spec": {
                "rules": [
                    {"host": host, "http": {"paths": [{"path": "/app", "pathType": "Prefix", "backend": backend}]}}
                ]
            },
        },
    ]


@pytest.fixture(scope="module")
def web(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = objects(name, variables["images"]["greeter"], "web.example.com")
    kubectl.apply(*made)
    try:
        kubectl("rollout", "status", f"deployment/{name}", f"--namespace={NAMESPACE}", "--timeout=120s")
        yield name
    finally:
        kubectl("delete", "deployment,service,ingress", f"--selector=app={name}", f"--namespace={NAMESPACE}")


def ask(variables: dict[str, Any], host: str, path: str = "/app", scheme: str = "http") -> requests.Response:
    port = variables["http_port" if scheme == "http" else "https_port"]
    with requests.Session() as session:
        session.trust_env = False
        # The certificate is self-signed, as the README says.
        return session.get(f"{scheme}://127.0.0.1:{port}{path}", headers={"Host": host}, timeout=10, verify=False)


def test_the_host_routes_from_this_host(web: str, variables: dict[str, Any]) -> None:
    assert wait_until(lambda: PAGE in ask(variables, "web.example.com").text, timeout=30)
    answer = ask(variables, "web.example.com", "/app/x")
    assert answer.status_code == 200
    assert answer.text == f"{PAGE} /app/x http"


@pytest.mark.parametrize(
    ("host", "path"), [("unknown.example.com", "/app"), ("web.example.com", "/"), ("web.example.com", "/apple")]
)
def test_an_unknown_host_or_path_gets_404(web: str, variables: dict[str, Any], host: str, path: str) -> None:
    assert wait_until(lambda: PAGE in ask(variables, "web.example.com").text, timeout=30)
    answer = ask(variables, host, path)
    assert answer.status_code == 404
    assert PAGE not in answer.text


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_https_answers_as_well(web: str, variables: dict[str, Any]) -> None:
    assert wait_until(lambda: PAGE in ask(variables, "web.example.com", scheme="https").text, timeout=30)


def test_the_ingress_got_the_default_class_and_an_address(web: str, kubectl: Kubectl) -> None:
    def found() -> dict[str, Any]:
        loaded: dict[str, Any] = kubectl.json("get", "ingress", web, f"--namespace={NAMESPACE}")
        return loaded

    assert found()["spec"]["ingressClassName"] == "traefik"
    assert wait_until(lambda: found()["status"]["loadBalancer"].get("ingress") == [{"ip": "127.0.0.1"}], timeout=30)


def test_a_host_is_served_in_the_listed_namespaces_only(
    kubectl: Kubectl, namespace: str, variables: dict[str, Any]
) -> None:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    rule = {
        "host": "elsewhere.example.com",
        "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
    }
    kubectl.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "elsewhere", "namespace": namespace},
            "spec": {"rules": [rule]},
        }
    )
    assert not wait_until(lambda: ask(variables, "elsewhere.example.com", "/").status_code != 404, timeout=5)


def test_it_listens_on_the_loopback_address_only(host: Host, variables: dict[str, Any]) -> None:
    listening = host.check_output("ss -Hltn")
    for port in (variables["http_port"], variables["https_port"]):
        addresses = {line.split()[3] for line in listening.splitlines() if line.split()[3].endswith(f":{port}")}
        assert addresses == {f"127.0.0.1:{port}"}


def test_its_pod_is_restricted_and_its_image_the_map_s(kubectl: Kubectl, variables: dict[str, Any]) -> None:
    labels = kubectl.json("get", "namespace", "ingress")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in kubectl.items("pods", "--namespace=ingress"):
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        for container in pod["spec"]["containers"]:
            assert container["image"] == variables["images"]["traefik"]
            assert container["securityContext"]["readOnlyRootFilesystem"]


def test_what_traefik_may_do(kubectl: Kubectl) -> None:
    table = {
        f"list ingresses.networking.k8s.io {NAMESPACE}": True,
        f"list secrets {NAMESPACE}": True,
        f"update ingresses.networking.k8s.io {NAMESPACE}": False,
        f"get configmaps {NAMESPACE}": False,
        "get secrets kube-system": False,
        "list secrets argocd": False,
        "list services kube-system": False,
    }
    assert dict(zip(table, kubectl.may(ACCOUNT, *table), strict=True)) == table


def test_its_metrics_are_served_inside_the_cluster_alone(
    web: str, kubectl: Kubectl, http: Http, variables: dict[str, Any]
) -> None:
    assert wait_until(lambda: PAGE in ask(variables, "web.example.com").text, timeout=30)
    assert "traefik_entrypoint_requests_total" in http.get("ingress", "traefik-metrics", 9100, "/metrics").text
    ports = {port["name"] for port in kubectl.json("get", "service", "traefik", "--namespace=ingress")["spec"]["ports"]}
    assert ports == {"web", "websecure"}
    assert ask(variables, "web.example.com", "/metrics").status_code == 404


def test_a_lost_pod_comes_back_and_a_drifted_field_is_put_right(
    web: str, kubectl: Kubectl, variables: dict[str, Any]
) -> None:
    kubectl("delete", "pods", "--all", "--namespace=ingress")
    kubectl("patch", "service", "traefik", "--namespace=ingress", "--patch", '{"spec": {"selector": {"drift": "yes"}}}')
    assert wait_until(lambda: fails(variables), timeout=30)
    done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=ingress")
    assert done.code == 0, done.output
    kubectl("rollout", "status", "deployment/traefik", "--namespace=ingress", "--timeout=120s")
    assert wait_until(lambda: not fails(variables) and PAGE in ask(variables, "web.example.com").text, timeout=30)


def fails(variables: dict[str, Any]) -> bool:
    try:
        ask(variables, "web.example.com")
    except requests.RequestException:
        return True
    return False
