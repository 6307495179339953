# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chart of hello: what it renders by default and in each environment, and the values that it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.hello import server
from deploy import validate

DEPLOY = Path(validate.__file__).parent
ROOT = DEPLOY.parent
CHART = DEPLOY / "workloads/hello/chart"
PLAIN_GROUPS = {"", "apps", "networking.k8s.io", "policy"}
ENVIRONMENTS = {"dev": (2, 4), "production": (3, 5)}
ANALYSED = {"kind": "Rollout", "serviceMonitor": {"enabled": True}, "canary": {"analysis": {"enabled": True}}}
Objects = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def helm() -> str:
    try:
        return validate.find_tool("helm", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real helm, which `make up` and `make test` provide: {error}")


def template(helm: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [helm, "template", "greeting", str(CHART), "--namespace=somewhere", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def by_kind(text: str) -> Objects:
    documents = [document for document in yaml.safe_load_all(text) if document]
    objects = {document["kind"]: document for document in documents}
    assert len(objects) == len(documents)
    return objects


def render(helm: str, values: dict[str, Any] | None = None) -> Objects:
    done = template(
        helm,
        "--set-json=global={}",
        *(f"--set-json={key}={json.dumps(value)}" for key, value in (values or {}).items()),
    )
    assert done.returncode == 0, done.stderr
    return by_kind(done.stdout)


def environment(helm: str, name: str) -> Objects:
    text, error = validate.build_chart(helm, CHART, DEPLOY / "environments" / name / "hello", "v1.36.0")
    assert error is None
    return by_kind(text)


@pytest.fixture(scope="module")
def default(helm: str) -> Objects:
    return render(helm)


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def deployed(request: pytest.FixtureRequest, helm: str) -> Objects:
    return environment(helm, request.param)


@pytest.fixture(scope="module", params=["Deployment", "Rollout"])
def workload(request: pytest.FixtureRequest, helm: str) -> dict[str, Any]:
    return render(helm, {"kind": request.param})[request.param]


def pod_of(objects: Objects) -> dict[str, Any]:
    found: dict[str, Any] = (objects.get("Rollout") or objects["Deployment"])["spec"]["template"]["spec"]
    return found


# --- defaults ---


def test_the_defaults_need_nothing_but_kubernetes(default: Objects) -> None:
    assert {one["apiVersion"].rpartition("/")[0] for one in default.values()} <= PLAIN_GROUPS
    assert set(default) == {
        *("Deployment", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"),
    }


def test_every_object_has_the_name_of_the_release_its_namespace_and_the_standard_labels(helm: str) -> None:
    for one in render(helm, {**ANALYSED, "autoscaling": {"enabled": True}}).values():
        assert (one["metadata"]["name"], one["metadata"]["namespace"]) == ("greeting", "somewhere")
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "hello"
        assert labels["app.kubernetes.io/instance"] == "greeting"
        assert labels["app.kubernetes.io/part-of"] == "drystone"


def test_helm_lint_finds_nothing(helm: str) -> None:
    values: list[list[str]] = [[]]
    values += [[f"--values={DEPLOY}/environments/{name}/hello/values.yaml"] for name in ENVIRONMENTS]
    for given in values:
        done = subprocess.run(
            [helm, "lint", "--strict", str(CHART), *given], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "WARNING" not in done.stdout


def test_the_notes_say_how_to_create_the_secret_and_to_send_a_request(helm: str, tmp_path: Path) -> None:
    # Helm shows notes only with a cluster, so render them as the content of a ConfigMap.
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    (copy / "templates/NOTES.txt").rename(copy / "notes.txt")
    (copy / "templates/notes.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\ndata: {notes: {{ tpl (.Files.Get "notes.txt") . | toJson }}}\n'
    )
    command = [helm, "template", "greeting", str(copy), "--namespace=somewhere", "--show-only=templates/notes.yaml"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    notes = yaml.safe_load(shown)["data"]["notes"]
    assert "create secret generic greeting --from-literal='token=<token>'" in notes
    assert "--header 'Host: example.com' http://<address of the controller>/app" in notes


# --- the workload ---


def test_a_deployment_rolls_and_a_rollout_has_weighted_steps(helm: str) -> None:
    plain = render(helm)["Deployment"]
    assert plain["apiVersion"] == "apps/v1"
    assert plain["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    canary = render(helm, {"kind": "Rollout"})["Rollout"]
    assert canary["apiVersion"] == "argoproj.io/v1alpha1"
    assert [step["setWeight"] for step in canary["spec"]["strategy"]["canary"]["steps"] if "setWeight" in step] == [
        25,
        50,
    ]
    assert "analysis" not in canary["spec"]["strategy"]["canary"]


def test_rolling_parameters_apply_to_both_kinds(helm: str) -> None:
    given = {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}, "minReadySeconds": 9, "replicas": 7}
    plain = render(helm, given)["Deployment"]["spec"]
    canary = render(helm, {**given, "kind": "Rollout"})["Rollout"]["spec"]
    assert plain["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 1}
    assert {"maxSurge": "25%", "maxUnavailable": 1}.items() <= canary["strategy"]["canary"].items()
    for spec in (plain, canary):
        assert (spec["minReadySeconds"], spec["replicas"]) == (9, 7)


def test_the_pod_meets_the_restricted_profile(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}


def test_the_spread_counts_the_pods_of_each_revision(workload: dict[str, Any]) -> None:
    (spread,) = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
    label = {"Deployment": "pod-template-hash", "Rollout": "rollouts-pod-template-hash"}[workload["kind"]]
    assert spread["matchLabelKeys"] == [label]


def test_every_selector_finds_the_pods(helm: str) -> None:
    objects = render(helm, ANALYSED)
    spec = objects["Rollout"]["spec"]
    pod_labels = spec["template"]["metadata"]["labels"].items()
    selectors = [
        spec["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= pod_labels for selector in selectors)
    wanted = objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items()
    assert wanted <= objects["Service"]["metadata"]["labels"].items()


def test_requests_are_finished_before_the_pod_is_killed(workload: dict[str, Any]) -> None:
    pod = workload["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = (Path(server.__file__).parent / "gunicorn.conf.py").read_text(encoding="utf-8")
    (graceful,) = [int(line.split("=")[1]) for line in settings.splitlines() if line.startswith("graceful_timeout")]
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] + graceful < pod["terminationGracePeriodSeconds"]


def test_the_token_comes_from_a_secret_that_is_not_in_the_chart(helm: str) -> None:
    given = {"auth": {"secretName": "access", "secretKey": "value"}}
    (container,) = pod_of(render(helm, given))["containers"]
    token = {"name": "AUTH_TOKEN", "valueFrom": {"secretKeyRef": {"name": "access", "key": "value"}}}
    assert token in container["env"]
    assert "Secret" not in render(helm, given)


def test_the_service_accepts_the_settings_of_the_chart(helm: str) -> None:
    given = {"config": {"failRate": 0.25, "delaySeconds": 1.5, "faultsEnabled": True}}
    for values, expected in ({}, (0, 0, False)), (given, (0.25, 1.5, True)):
        (container,) = pod_of(render(helm, values))["containers"]
        environ = {one["name"]: one["value"] for one in container["env"] if "value" in one}
        settings = server.Settings.from_environ({**environ, "AUTH_TOKEN": "T"})
        assert (settings.fail_rate, settings.delay_sec, settings.faults_enabled) == expected


# --- access and scaling ---


def test_hosts_class_and_tls_of_the_ingress_are_values(helm: str) -> None:
    tls = [{"hosts": ["a.example.com"], "secretName": "a-tls"}]
    given = {"ingress": {"hosts": ["a.example.com", "b.example.com"], "className": "other", "tls": tls}}
    spec = render(helm, given)["Ingress"]["spec"]
    assert [rule["host"] for rule in spec["rules"]] == ["a.example.com", "b.example.com"]
    assert (spec["ingressClassName"], spec["tls"]) == ("other", tls)


def test_the_default_ingress_serves_one_path_of_one_host_from_port_80(default: Objects) -> None:
    spec = default["Ingress"]["spec"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (rule["host"], path["path"], path["pathType"]) == ("example.com", "/app", "Prefix")
    assert path["backend"]["service"] == {"name": "greeting", "port": {"name": "http"}}
    assert default["Service"]["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]
    assert {"ingressClassName", "tls"} & spec.keys() == set()


@pytest.mark.parametrize(("kind", "version"), [("Deployment", "apps/v1"), ("Rollout", "argoproj.io/v1alpha1")])
def test_the_autoscaler_scales_what_is_deployed_and_alone_sets_the_replicas(helm: str, kind: str, version: str) -> None:
    objects = render(helm, {"kind": kind, "autoscaling": {"enabled": True, "minReplicas": 3}})
    spec = objects["HorizontalPodAutoscaler"]["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": version, "kind": kind, "name": "greeting"}
    assert (spec["minReplicas"], spec["metrics"][0]["resource"]["name"]) == (3, "cpu")
    assert "replicas" not in objects[kind]["spec"]
    assert pod_of(objects)["containers"][0]["resources"]["requests"]["cpu"]


def test_without_sources_the_policy_allows_nothing(helm: str) -> None:
    assert "ingress" not in render(helm, {"networkPolicy": {"from": []}})["NetworkPolicy"]["spec"]


# --- canary analysis ---


def test_the_analysis_runs_from_the_first_weight_with_the_revision_of_the_canary(helm: str) -> None:
    objects = render(helm, ANALYSED)
    canary = objects["Rollout"]["spec"]["strategy"]["canary"]
    assert canary["analysis"] == {
        "startingStep": 1,
        "templates": [{"templateName": "greeting"}],
        "args": [{"name": "revision", "valueFrom": {"podTemplateHashValue": "Latest"}}],
    }
    assert "setWeight" in canary["steps"][0]
    assert objects["AnalysisTemplate"]["spec"]["args"] == [{"name": "revision"}]


def test_a_bad_version_fails_within_a_minute_of_its_first_weight(helm: str) -> None:
    objects = render(helm, ANALYSED)
    for metric in objects["AnalysisTemplate"]["spec"]["metrics"]:
        first, interval = (int(metric[key].removesuffix("s")) for key in ("initialDelay", "interval"))
        # One more measurement, because the metrics of the first one may not be there yet
        latest = first + interval * (metric["failureLimit"] + 1)
        assert objects["Rollout"]["spec"]["minReadySeconds"] + latest < 60, metric["name"]


def test_each_query_is_about_one_revision_in_one_namespace_and_about_metrics_of_the_service(helm: str) -> None:
    objects = render(helm, ANALYSED)
    (label,) = objects["ServiceMonitor"]["spec"]["podTargetLabels"]
    assert label == "rollouts-pod-template-hash"
    selected = f'namespace="somewhere",{label.replace("-", "_")}="{{{{args.revision}}}}"'
    exposed = server.create_app(server.Settings("T")).test_client().get("/metrics").text
    for metric in objects["AnalysisTemplate"]["spec"]["metrics"]:
        query = metric["provider"]["prometheus"]["query"]
        assert query.count("{" + selected) == query.count("rollouts_pod_template_hash")
        for name in re.findall(r"hello_\w+?(?=_bucket|_total|\{)", query):
            assert f"# TYPE {name}" in exposed
        assert query.strip().endswith("or vector(0)")  # no request is not a failure


def test_an_analysis_without_metrics_is_refused(helm: str) -> None:
    done = template(helm, "--set=kind=Rollout,canary.analysis.enabled=true")
    assert done.returncode == 1
    assert "canary.analysis.enabled needs serviceMonitor.enabled: true" in done.stderr


# --- alerts and dashboard ---


@pytest.mark.parametrize("name", ["alerts", "dashboards"])
def test_alerts_and_dashboards_ask_for_metrics_and_labels_of_the_service(name: str) -> None:
    service = server.create_app(server.Settings("T")).test_client()
    service.get("/app")
    exposed = service.get("/metrics").text
    described = yaml.safe_load((ROOT / f"roles/kube_prometheus_stack/files/{name}.yml").read_text("utf-8"))["hello"]
    queries = json.dumps(described).replace('\\"', '"')
    asked = set(re.findall(r"\bhello_\w+", queries))
    assert len(asked) >= 2
    for metric in asked:
        assert f"\n{metric}{{" in exposed
    for key, value in re.findall(r'\b(route|outcome)="([^"]*)"', queries):
        assert f'{key}="{value}"' in exposed


# --- documents ---


def test_the_readme_shows_the_answers_of_the_service() -> None:
    client = server.create_app(server.Settings("T")).test_client()
    shown = re.findall(
        r"^\$ curl .*X-Auth-Token: \$TOKEN.*\n(.+)\n\$ curl .*\n(.+)$", (ROOT / "README.md").read_text(), re.MULTILINE
    )
    right, missing = client.get("/app", headers={"X-Auth-Token": "T"}), client.get("/app")
    assert (right.status_code, missing.status_code) == (200, 401)
    assert shown == [(right.text.strip(), missing.text.strip())]


# --- refusals ---


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("kindd=Rollout", "at '': additional properties 'kindd' not allowed"),
        ("image.tga=1.0.0", "at '/image': additional properties 'tga' not allowed"),
        ("canary.analysis.window5=1m", "at '/canary/analysis': additional properties 'window5' not allowed"),
        ("kind=StatefulSet", "at '/kind': value must be one of 'Deployment', 'Rollout'"),
        ("replicas=three", "at '/replicas': got string, want integer"),
        ("image.tag=a/b", "at '/image/tag': 'a/b' does not match pattern"),
        ("config.failRate=2", "at '/config/failRate': maximum: got 2, want 1"),
        ("ingress.hosts=null", "at '/ingress': missing property 'hosts'"),
        ("ingress.hosts[0]=a_b", "at '/ingress/hosts/0': 'a_b' does not match pattern"),
        ("replicas=-1", "at '/replicas': minimum: got -1, want 0"),
        ("canary.analysis.interval=soon", "at '/canary/analysis/interval': 'soon' does not match pattern"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: str, value: str, problem: str) -> None:
    done = template(helm, f"--set={value}")
    assert done.returncode == 1
    assert problem in done.stderr


def test_the_schema_names_exactly_the_values_and_refuses_others_everywhere() -> None:
    def check(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        assert schema["properties"].keys() - {"global"} == values.keys(), path
        for name, value in values.items():
            if isinstance(value, dict):
                check(schema["properties"][name], value, f"{path}.{name}")

    schema = json.loads((CHART / "values.schema.json").read_text())
    check(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "")


# --- environments ---


def test_an_environment_runs_analysed_canaries_and_scales(deployed: Objects) -> None:
    scaling = deployed["HorizontalPodAutoscaler"]["spec"]
    namespace = deployed["Rollout"]["metadata"]["namespace"]
    assert (scaling["minReplicas"], scaling["maxReplicas"]) == ENVIRONMENTS[namespace]
    assert scaling["scaleTargetRef"]["kind"] == "Rollout"
    assert {"AnalysisTemplate", "ServiceMonitor", "PodDisruptionBudget"} <= set(deployed)
    assert deployed["NetworkPolicy"]["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_the_platform_creates_the_secret_that_an_environment_uses(deployed: Objects) -> None:
    (task,) = [
        one
        for one in yaml.safe_load((ROOT / "roles/workloads/tasks/tokens.yml").read_text())
        if "drystone.platform.generated_secret" in one
    ]
    secret = task["drystone.platform.generated_secret"]
    (container,) = pod_of(deployed)["containers"]
    (token,) = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if one["name"] == "AUTH_TOKEN"]
    assert token == {"name": secret["name"], "key": secret["entries"][0]["name"]}


def test_environments_of_one_cluster_have_different_hosts(helm: str) -> None:
    hosts = [rule["host"] for name in ENVIRONMENTS for rule in environment(helm, name)["Ingress"]["spec"]["rules"]]
    assert sorted(hosts) == ["dev.example.com", "example.com"]


def test_the_version_is_the_same_everywhere(deployed: Objects) -> None:
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    assert defaults["drystone_hello_version"] == server.VERSION
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == server.VERSION
    (container,) = pod_of(deployed)["containers"]
    assert container["image"] == f"drystone.local/hello:{server.VERSION}"


def test_images_are_pushed_to_the_registry_of_the_platform() -> None:
    defaults = yaml.safe_load((ROOT / "roles/common/defaults/main.yml").read_text())
    (port,) = re.findall(r"\d+", defaults["drystone_registry_port"])
    command = ["make", "--no-print-directory", "--dry-run", "--directory", str(ROOT / "app/hello"), "push"]
    pushed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert pushed.strip() == f"docker push 127.0.0.1:{port}/hello:{server.VERSION}"
