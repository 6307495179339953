# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The values of the role, the objects that the chart renders, alerts and dashboards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.drystone.platform.plugins.filter.grafana_dashboards import grafana_dashboards
from ansible_collections.drystone.platform.plugins.lookup import helm_template
from ansible_collections.drystone.platform.plugins.plugin_utils._chart_values import (
    chart_defaults,
    unknown_keys,
    with_subcharts,
)
from deploy import validate

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles/kube_prometheus_stack"
CHART = ROOT / "bundle/charts/kube-prometheus-stack"
SUBCHARTS = ("grafana", "kube-state-metrics", "prometheus-node-exporter")
PLAYBOOK = """\
- hosts: localhost
  gather_facts: false
  vars:
    role_path: {role}
  tasks:
    - ansible.builtin.include_vars: "{{{{ item }}}}"
      loop: [{common}, {role}/defaults/main.yml, {role}/vars/main.yml]
    - ansible.builtin.copy:
        dest: {out}
        content: >-
          {{{{ {{'values': __kube_prometheus_stack_values,
               'objects': __kube_prometheus_stack_rules + __kube_prometheus_stack_dashboards}} | to_json }}}}
        mode: "0600"
"""


def evaluate(folder: Path, variables: dict[str, Any]) -> dict[str, Any]:
    """Let Ansible render the values and objects of the role."""
    out = folder / "out.json"
    common = ROOT / "roles/common/defaults/main.yml"
    (folder / "playbook.yml").write_text(PLAYBOOK.format(role=ROLE, common=common, out=out))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "--inventory=localhost,",
            "--connection=local",
            f"--extra-vars={json.dumps({**variables, 'ansible_python_interpreter': sys.executable})}",
            str(folder / "playbook.yml"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return evaluate(tmp_path_factory.mktemp("defaults"), {})


@pytest.fixture(scope="module")
def values(evaluated: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = evaluated["values"]
    return found


@pytest.fixture(scope="module")
def values_with_grafana(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The values for a chart that contains Grafana, as upstream's does."""
    folder = tmp_path_factory.mktemp("grafana")
    (folder / "chart/charts/grafana").mkdir(parents=True)
    found: dict[str, Any] = evaluate(folder, {"kube_prometheus_stack_chart": str(folder / "chart")})["values"]
    return found


@pytest.fixture(scope="session")
def helm() -> str:
    try:
        return validate.find_tool("helm", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real helm, which `make up` and `make test` provide: {error}")


def rendered(helm: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    options = {
        "binary_path": helm,
        "release": "kube-prometheus-stack",
        "namespace": "monitoring",
        "values": values,
        "kube_version": "1.36.0",
        "api_versions": [],
    }
    text = helm_template.render(str(CHART), options)
    return [document for document in yaml.safe_load_all(text) if document]


@pytest.fixture(scope="module")
def objects(helm: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    return rendered(helm, values)


def keys(tree: dict[str, Any], like: dict[str, Any]) -> set[str]:
    """Return the paths of a tree, down to places where the other tree accepts everything."""
    found: set[str] = set()
    for key, value in tree.items():
        below = like.get(key)
        inside = (
            keys(value, below) if isinstance(value, dict) and isinstance(below, dict) and value and below else set()
        )
        found |= {f"{key}.{path}" for path in inside} or {key}
    return found


# --- values ---


def test_our_chart_honours_exactly_what_the_role_sets(values: dict[str, Any]) -> None:
    defaults = chart_defaults(str(CHART))
    assert unknown_keys(values, defaults) == []
    assert keys(defaults, values) - {"global"} == keys(values, defaults)


@pytest.mark.parametrize("chart", ["values", "values_with_grafana"])
def test_the_upstream_chart_has_every_key_that_the_role_sets(chart: str, request: pytest.FixtureRequest) -> None:
    values: dict[str, Any] = request.getfixturevalue(chart)
    folder = os.environ.get("DRYSTONE_CHART_VALUES")
    if not folder:
        pytest.skip("DRYSTONE_CHART_VALUES names no directory with the upstream charts' values")
    pins = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    version = pins["drystone_kube_prometheus_stack_version"]
    own = yaml.safe_load((Path(folder) / f"kube-prometheus-stack-{version}.yaml").read_text())
    subcharts = {}
    for name in SUBCHARTS:
        (path,) = Path(folder).glob(f"{name}-[0-9]*.yaml")
        subcharts[name] = yaml.safe_load(path.read_text())
    assert unknown_keys(values, with_subcharts(own, subcharts)) == []


def test_images_come_apart_into_registry_repository_and_tag(tmp_path: Path) -> None:
    image = "registry.example.com:5000/mirror/prometheus/prometheus:v3.0.0"
    found = evaluate(tmp_path, {"kube_prometheus_stack_prometheus_image": image})["values"]["prometheus"][
        "prometheusSpec"
    ]
    assert (found["image"], found["version"]) == (
        {"registry": "registry.example.com:5000", "repository": "mirror/prometheus/prometheus", "tag": "v3.0.0"},
        "v3.0.0",
    )


def test_settings_reach_the_values(tmp_path: Path, helm: str) -> None:
    found = evaluate(
        tmp_path,
        {
            "kube_prometheus_stack_retention": "7d",
            "kube_prometheus_stack_storage_size": "5Gi",
            "kube_prometheus_stack_webhook_url": "http://receiver/",
        },
    )["values"]
    made = rendered(helm, found)
    (prometheus,) = (one["spec"] for one in made if one["kind"] == "Prometheus")
    assert prometheus["retention"] == "7d"
    assert prometheus["storage"]["volumeClaimTemplate"]["spec"]["resources"]["requests"]["storage"] == "5Gi"
    (secret,) = (one for one in made if one["kind"] == "Secret")
    config = yaml.safe_load(secret["stringData"]["alertmanager.yaml"])
    assert config["route"]["receiver"] == "webhook"
    assert config["receivers"] == [
        {"name": "webhook", "webhook_configs": [{"url": "http://receiver/", "send_resolved": True}]}
    ]


def test_grafana_and_the_rules_of_the_chart_are_on_where_the_chart_has_them(
    values: dict[str, Any], values_with_grafana: dict[str, Any]
) -> None:
    assert (values["grafana"], values["defaultRules"]) == ({"enabled": False}, {"create": False})
    assert values_with_grafana["defaultRules"] == {"create": True}
    grafana = values_with_grafana["grafana"]
    assert grafana["enabled"] is True
    assert grafana["image"]["repository"] == "grafana"
    assert grafana["sidecar"]["image"]["repository"] == "grafana-sidecar"


def test_grafana_reads_dashboards_of_its_namespace_and_no_secrets(values_with_grafana: dict[str, Any]) -> None:
    grafana = values_with_grafana["grafana"]
    assert grafana["rbac"] == {"create": False}
    for kind in ("dashboards", "datasources"):
        assert grafana["sidecar"][kind] == {"searchNamespace": "monitoring", "resource": "configmap"}


def test_grafana_does_not_get_a_new_password_in_each_run(values_with_grafana: dict[str, Any]) -> None:
    tasks = yaml.safe_load((ROLE / "tasks/apply.yml").read_text())
    (login,) = (task for task in tasks if "drystone.platform.generated_secret" in task)
    made = login["drystone.platform.generated_secret"]
    assert values_with_grafana["grafana"]["admin"] == {"existingSecret": made["name"]}
    assert [entry["name"] for entry in made["entries"]] == ["admin-user", "admin-password"]


def test_what_only_the_upstream_chart_has_is_refused(helm: str, values: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"grafana\.enabled: only the upstream chart supports this"):
        rendered(helm, {**values, "grafana": {"enabled": True}})


# --- objects of the chart ---


def pod_specs(objects: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        f"{one['kind']} {one['metadata']['name']}": one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in ("Deployment", "DaemonSet")
    }


def test_every_root_file_system_is_read_only_and_nothing_has_privileges(objects: list[dict[str, Any]]) -> None:
    specs = pod_specs(objects)
    assert len(specs) == 3
    for name, spec in specs.items():
        assert spec["securityContext"]["runAsNonRoot"], name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"], name
            assert not context["allowPrivilegeEscalation"], name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert container["resources"]["limits"]["memory"], name


def test_only_node_exporter_sees_the_host_and_stands_alone(objects: list[dict[str, Any]]) -> None:
    hosted = {
        name
        for name, spec in pod_specs(objects).items()
        if spec.get("hostNetwork") or any("hostPath" in one for one in spec.get("volumes", []))
    }
    assert hosted == {"DaemonSet kube-prometheus-stack-prometheus-node-exporter"}
    alone = [one["kind"] for one in objects if one["metadata"].get("namespace") == "node-exporter"]
    assert sorted(alone) == ["DaemonSet", "Service", "ServiceAccount", "ServiceMonitor"]


def test_nobody_reads_secrets_of_other_namespaces(objects: list[dict[str, Any]]) -> None:
    reading = [
        (one["kind"], one["metadata"].get("namespace"))
        for one in objects
        if one["kind"] in ("ClusterRole", "Role")
        for rule in one["rules"]
        if {"secrets", "*"} & set(rule.get("resources", []))
    ]
    assert reading == [("Role", "monitoring")]


def test_each_target_has_a_monitor(objects: list[dict[str, Any]]) -> None:
    monitors = {
        one["metadata"]["name"].removeprefix("kube-prometheus-stack-")
        for one in objects
        if one["kind"] == "ServiceMonitor"
    }
    assert monitors == {
        "alertmanager",
        "apiserver",
        "coredns",
        "kube-controller-manager",
        "kube-etcd",
        "kube-proxy",
        "kube-scheduler",
        "kube-state-metrics",
        "kubelet",
        "operator",
        "prometheus",
        "prometheus-node-exporter",
    }


def test_monitors_select_services_that_there_are(objects: list[dict[str, Any]]) -> None:
    labels = [one["metadata"]["labels"] for one in objects if one["kind"] == "Service"]
    # Kubernetes creates the Service of the API server, and the operator creates that of kubelets.
    for monitor in (one for one in objects if one["kind"] == "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = sum(wanted <= one.items() for one in labels)
        assert found == (0 if monitor["metadata"]["name"].endswith(("-apiserver", "-kubelet")) else 1)


def test_monitors_and_rules_of_every_namespace_are_taken(objects: list[dict[str, Any]]) -> None:
    (spec,) = (one["spec"] for one in objects if one["kind"] == "Prometheus")
    for kind in ("serviceMonitor", "podMonitor", "probe", "scrapeConfig", "rule"):
        assert spec[f"{kind}Selector"] == {}
        assert spec[f"{kind}NamespaceSelector"] == {}


# --- alerts and dashboards ---

ALERTS = yaml.safe_load((ROLE / "files/alerts.yml").read_text())
DASHBOARDS = yaml.safe_load((ROLE / "files/dashboards.yml").read_text())


@pytest.mark.parametrize("group", ALERTS)
def test_alerts_say_how_bad_it_is_and_what_is_wrong(group: str) -> None:
    for name, alert in ALERTS[group].items():
        assert set(alert) <= {"expr", "for", "severity", "summary"}, name
        assert alert["severity"] in ("critical", "warning", "none"), name
        assert alert["summary"].endswith("."), name


def test_names_of_alerts_are_used_once() -> None:
    names = [name for group in ALERTS.values() for name in group]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_dashboards_are_built_of_what_the_filter_knows(name: str) -> None:
    for panel in DASHBOARDS[name]["panels"]:
        assert set(panel) <= {"title", "type", "unit", "width", "queries", "empty_when"}, panel["title"]
        assert panel["queries"], panel["title"]
    titles = [panel["title"] for panel in DASHBOARDS[name]["panels"]]
    assert len(titles) == len(set(titles))


def test_the_role_applies_them_untouched_by_templating(evaluated: dict[str, Any]) -> None:
    expected = grafana_dashboards(DASHBOARDS, "monitoring")
    assert [one for one in evaluated["objects"] if one["kind"] == "ConfigMap"] == expected
    rules = {
        rule["alert"]: rule
        for one in evaluated["objects"]
        if one["kind"] == "PrometheusRule"
        for group in one["spec"]["groups"]
        for rule in group["rules"]
    }
    assert "{{ $labels.node }}" in rules["NodeNotReady"]["annotations"]["summary"]
    assert "docker start NODE" in rules["NodeNotReady"]["annotations"]["runbook"]
    page = "ansible_collections/drystone/platform/docs/runbook/node-lost.md#nodenotready"
    assert rules["NodeNotReady"]["annotations"]["runbook"].endswith(f"\n\nSee {page}")
    assert "runbook_url" not in rules["NodeNotReady"]["annotations"]
