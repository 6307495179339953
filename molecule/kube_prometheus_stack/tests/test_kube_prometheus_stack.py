"""All targets are up, all queries of the project work, and alerts are loaded and reach a receiver."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from drystone_testing import ROOT, Http, Kubectl, wait_until

NAMESPACE = "monitoring"
PROMETHEUS = "kube-prometheus-stack-prometheus"
ALERTMANAGER = "kube-prometheus-stack-alertmanager"
RECEIVER = "alert-receiver"
ALERTS: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "roles/kube_prometheus_stack/files/alerts.yml").read_text())
DASHBOARDS: dict[str, Any] = yaml.safe_load((ROOT / "roles/kube_prometheus_stack/files/dashboards.yml").read_text())
# The metric that a dashboard depends on: without it, its panels may be empty.
NEEDED = {"greeter": 'up{job="greeter"} == 1', "hello": 'up{job="hello"} == 1', "gitops": "argocd_app_info"}
PANELS = [
    pytest.param(name, panel, legend, id=f"{name}: {panel['title']}: {legend}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for legend in panel["queries"]
]


class Prometheus:
    def __init__(self, http: Http) -> None:
        self.http = http

    def ask(self, path: str) -> Any:
        answer = self.http.get(NAMESPACE, PROMETHEUS, 9090, path).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(f"/api/v1/query?query={quote(expression)}")["result"]
        return found


@pytest.fixture(scope="module")
def prometheus(http: Http) -> Prometheus:
    return Prometheus(http)


def test_every_target_is_up(prometheus: Prometheus, kubectl: Kubectl) -> None:
    nodes = len(kubectl.items("nodes"))
    expected = {
        "apiserver": 1,
        "coredns": 2,
        "kube-controller-manager": 1,
        "kube-etcd": 1,
        "kube-prometheus-stack-alertmanager": 2,
        "kube-prometheus-stack-operator": 1,
        "kube-prometheus-stack-prometheus": 2,
        "kube-proxy": nodes,
        "kube-scheduler": 1,
        "kube-state-metrics": 1,
        "kubelet": 2 * nodes,
        "node-exporter": nodes,
    }

    def up() -> dict[str, int]:
        return {row["metric"]["job"]: int(row["value"][1]) for row in prometheus.query("sum by (job) (up)")}

    assert wait_until(lambda: expected.items() <= up().items(), timeout=120), up()
    # A target that is still starting may fail its first scrape.
    assert wait_until(lambda: prometheus.query("up == 0") == [], timeout=90), prometheus.query("up == 0")


def test_a_monitor_in_any_namespace_is_taken(prometheus: Prometheus, kubectl: Kubectl, namespace: str) -> None:
    # Prometheus itself
    target = {"targets": [f"{PROMETHEUS}.{NAMESPACE}.svc:9090"], "labels": {"probed": namespace}}
    kubectl.apply(
        {
            "apiVersion": "monitoring.coreos.com/v1alpha1",
            "kind": "ScrapeConfig",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {"staticConfigs": [target]},
        },
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": "probe", "namespace": namespace},
            "spec": {"groups": [{"name": "probe", "rules": [{"record": "probe:one", "expr": "vector(1)"}]}]},
        },
    )
    assert wait_until(lambda: prometheus.query(f'up{{probed="{namespace}"}} == 1') != [], timeout=150)
    assert wait_until(lambda: prometheus.query("probe:one") != [], timeout=150)


def test_every_alert_is_loaded_and_can_be_evaluated(prometheus: Prometheus) -> None:
    wanted = {name for group in ALERTS.values() for name in group}

    def rules() -> dict[str, dict[str, Any]]:
        groups = prometheus.ask("/api/v1/rules")["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"] if rule["type"] == "alerting"}

    def evaluated() -> bool:
        found = rules()
        return wanted <= set(found) and all(found[name]["health"] == "ok" for name in wanted)

    assert wait_until(evaluated, timeout=120), {name: rule.get("lastError") for name, rule in rules().items()}
    for name in wanted:
        assert re.search(rf"docs/runbook/[a-z-]+\.md#{name.lower()}$", rules()[name]["annotations"]["runbook"])


def test_the_alerts_of_the_platform_ask_for_metrics_that_there_are(prometheus: Prometheus) -> None:
    """An alert with a misspelled metric would never fire. Dashboards use the metrics of workloads as well."""
    known = set(prometheus.ask("/api/v1/label/__name__/values"))
    there_when_it_happens = {"kube_pod_container_status_waiting_reason"}
    # The cluster's storage class does not report sizes.
    there_when_it_happens |= {"kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"}
    asked = {word for alert in ALERTS["platform"].values() for word in metric_names(alert["expr"])}
    assert asked - known - there_when_it_happens == set()


def metric_names(expression: str) -> set[str]:
    """Return words with an underscore, except labels, functions, and text in braces and ranges."""
    plain = re.sub(r"{[^}]*}|\[[^]]*\]|\b(by|on|group_left) *\([^)]*\)|\w+ *\(", " ", expression)
    return set(re.findall(r"\b[a-zA-Z]\w*_\w+", plain))


@pytest.mark.parametrize(("name", "panel", "legend"), PANELS)
def test_every_query_of_a_dashboard_runs_and_gives_rows(
    name: str, panel: dict[str, Any], legend: str, prometheus: Prometheus
) -> None:
    expression = panel["queries"][legend]
    prometheus.query(expression)
    if "empty_when" in panel or (name in NEEDED and not prometheus.query(NEEDED[name])):
        return
    # Rates need two scrapes.
    assert wait_until(lambda: prometheus.query(expression) != [], timeout=120), f"{expression} gives no row"


def test_dashboards_lie_where_grafana_looks(kubectl: Kubectl) -> None:
    found = kubectl.items("configmaps", f"--namespace={NAMESPACE}", "--selector=grafana_dashboard=1")
    titles = {json.loads(text)["title"] for one in found for text in one["data"].values()}
    assert {dashboard["title"] for dashboard in DASHBOARDS.values()} <= titles


@pytest.fixture
def receiver(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[None]:
    """Run the webhook of the test inventory, which prints all that it receives."""
    program = (
        "import http.server\n"
        "class Print(http.server.BaseHTTPRequestHandler):\n"
        "    def do_POST(self):\n"
        "        print(self.rfile.read(int(self.headers['Content-Length'])).decode(), flush=True)\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "http.server.HTTPServer(('', 8080), Print).serve_forever()\n"
    )
    container = {
        "name": "receiver",
        "image": variables["images"]["greeter"],
        "command": ["python3", "-c", program],
        "ports": [{"containerPort": 8080}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    kubectl("create", "namespace", RECEIVER)
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": RECEIVER, "namespace": RECEIVER, "labels": {"app": RECEIVER}},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": RECEIVER, "namespace": RECEIVER},
            "spec": {"selector": {"app": RECEIVER}, "ports": [{"port": 8080}]},
        },
    )
    kubectl("wait", "pod", RECEIVER, f"--namespace={RECEIVER}", "--for=condition=Ready", "--timeout=90s")
    yield
    kubectl("delete", "namespace", RECEIVER)


@pytest.mark.usefixtures("receiver")
def test_alerts_reach_the_receiver(kubectl: Kubectl, http: Http) -> None:
    def received() -> list[dict[str, Any]]:
        text = kubectl("logs", RECEIVER, f"--namespace={RECEIVER}")
        # Lines of the access log are between the alerts.
        return [alert for line in text.splitlines() if line.startswith("{") for alert in json.loads(line)["alerts"]]

    alertmanager = (NAMESPACE, ALERTMANAGER, 9093, "/api/v2/alerts")

    def active() -> set[str]:
        return {one["labels"]["alertname"] for one in http.get(*alertmanager).json()}

    assert wait_until(lambda: "Watchdog" in active(), timeout=120), "Prometheus' alerts do not reach Alertmanager"
    # Use a separate alert: Alertmanager sends an alert once, so only the first run would receive the Watchdog.
    name = f"Probe{uuid.uuid4().hex[:8]}"
    alert = {"labels": {"alertname": name, "severity": "warning"}, "annotations": {"summary": "x"}}
    assert http.post(*alertmanager, body=[alert]).status_code == 200
    assert wait_until(lambda: name in {one["labels"]["alertname"] for one in received()}, timeout=120)


def test_nothing_but_node_exporter_has_privileges(kubectl: Kubectl) -> None:
    enforced = {
        one["metadata"]["name"]: one["metadata"]["labels"].get("pod-security.kubernetes.io/enforce")
        for one in kubectl.items("namespaces")
    }
    assert (enforced[NAMESPACE], enforced["node-exporter"]) == ("restricted", "privileged")
    pods = kubectl.items("pods", f"--namespace={NAMESPACE}")
    assert len(pods) == 4
    for pod in pods:
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            assert container["securityContext"]["readOnlyRootFilesystem"], pod["metadata"]["name"]
    exporters = kubectl.items("pods", "--namespace=node-exporter")
    assert {pod["metadata"]["labels"]["app.kubernetes.io/name"] for pod in exporters} == {"node-exporter"}


@pytest.mark.parametrize(
    ("account", "table"),
    [
        (
            "operator",
            {
                f"get secrets {NAMESPACE}": True,
                "get secrets kube-system": False,
                f"create statefulsets.apps {NAMESPACE}": True,
                "create statefulsets.apps default": False,
            },
        ),
        ("prometheus", {"list pods default": True, f"get secrets {NAMESPACE}": False}),
        ("kube-state-metrics", {"list deployments.apps default": True, "list secrets default": False}),
        ("alertmanager", {f"get secrets {NAMESPACE}": False}),
    ],
)
def test_accounts_may_do_what_they_need_and_no_more(kubectl: Kubectl, account: str, table: dict[str, bool]) -> None:
    allowed = kubectl.may(f"{NAMESPACE}/kube-prometheus-stack-{account}", *table)
    assert dict(zip(table, allowed, strict=True)) == table
