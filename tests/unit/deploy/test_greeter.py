# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered manifests of the greeter in each environment: sizes, scaling, security and rollouts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.greeter import server
from deploy import validate

DEPLOY = Path(validate.__file__).parent
ENVIRONMENTS = ("dev", "staging", "production")
Objects = dict[str, dict[str, Any]]


def render(root: Path, environment: str) -> Objects:
    try:
        kustomize = validate.find_tool("kustomize", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real tool, which `make up` and `make test` provide: {error}")
    text, error_text = validate.build(kustomize, root / "environments" / environment / "greeter")
    assert error_text is None
    documents = list(yaml.safe_load_all(text))
    objects = {document["kind"]: document for document in documents}
    assert len(objects) == len(documents)
    return objects


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def rendered(request: pytest.FixtureRequest) -> Objects:
    return render(DEPLOY, request.param)


@pytest.mark.parametrize(
    ("environment", "replicas", "scaling", "cpu", "memory"),
    [
        ("dev", 1, None, "50m", "64Mi"),
        ("staging", None, (2, 5), "100m", "128Mi"),
        ("production", None, (3, 5), "200m", "256Mi"),
    ],
)
def test_sizes(environment: str, replicas: int | None, scaling: tuple[int, int] | None, cpu: str, memory: str) -> None:
    objects = render(DEPLOY, environment)
    spec = objects["Deployment"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    autoscaler = objects.get("HorizontalPodAutoscaler", {}).get("spec")
    assert spec.get("replicas") == replicas
    assert container["resources"]["requests"] == {"cpu": cpu, "memory": memory}
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert (autoscaler and (autoscaler["minReplicas"], autoscaler["maxReplicas"])) == scaling
    if autoscaler:
        assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "greeter"}


def test_the_service_has_the_version_that_the_platform_builds() -> None:
    defaults = DEPLOY.parent / "roles" / "common" / "defaults" / "main.yml"
    assert yaml.safe_load(defaults.read_text("utf-8"))["drystone_greeter_version"] == server.VERSION


def test_the_image_is_the_version_of_the_service(rendered: Objects) -> None:
    (container,) = rendered["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"drystone.local/greeter:{server.VERSION}"


def test_the_pod_meets_the_restricted_profile(rendered: Objects) -> None:
    pod = rendered["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 1001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    assert rendered["ServiceAccount"]["automountServiceAccountToken"] is False


def test_every_selector_finds_the_pods(rendered: Objects) -> None:
    deployment = rendered["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["selector"]["matchLabels"],
        rendered["Service"]["spec"]["selector"],
        rendered["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        rendered["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        deployment["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_every_object_has_the_standard_labels(rendered: Objects) -> None:
    for document in rendered.values():
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "greeter"
        assert labels["app.kubernetes.io/part-of"] == "drystone"


def test_greeting_comes_from_a_secret_that_is_not_in_git_and_the_rest_from_the_config_map(rendered: Objects) -> None:
    (container,) = rendered["Deployment"]["spec"]["template"]["spec"]["containers"]
    config = rendered["ConfigMap"]
    assert container["env"] == [
        {"name": "GREETING", "valueFrom": {"secretKeyRef": {"name": "greeter", "key": "greeting"}}}
    ]
    assert container["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    assert "Secret" not in rendered
    server.Settings.from_environ({"GREETING": "Hi", **config["data"]})
    assert set(config["data"]) == {"READINESS_DELAY_SEC", "FAIL_RATE"}


def test_the_role_reads_the_own_configuration_and_nothing_else(rendered: Objects) -> None:
    name = rendered["ConfigMap"]["metadata"]["name"]
    assert rendered["Role"]["rules"] == [
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [name], "verbs": ["get"]}
    ]


def test_a_drain_can_always_go_on_and_a_rollout_costs_no_replica(rendered: Objects) -> None:
    assert rendered["PodDisruptionBudget"]["spec"]["maxUnavailable"] == "50%"
    assert rendered["Deployment"]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_requests_are_finished_before_the_pod_is_killed(rendered: Objects) -> None:
    pod = rendered["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = (Path(server.__file__).parent / "gunicorn.conf.py").read_text(encoding="utf-8")
    (graceful,) = [int(line.split("=")[1]) for line in settings.splitlines() if line.startswith("graceful_timeout")]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pause + graceful < pod["terminationGracePeriodSeconds"]


def test_a_value_set_in_one_environment_rolls_its_pods_and_no_others(tmp_path: Path) -> None:
    root = tmp_path / "deploy"
    shutil.copytree(DEPLOY, root)
    path = root / "environments" / "dev" / "greeter" / "kustomization.yaml"
    setting = {"configMapGenerator": [{"name": "greeter-config", "behavior": "merge", "literals": ["FAIL_RATE=0.5"]}]}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text("utf-8")), **setting}), "utf-8")
    before, after = render(DEPLOY, "dev"), render(root, "dev")
    assert after["ConfigMap"]["data"] == {**before["ConfigMap"]["data"], "FAIL_RATE": "0.5"}
    assert after["ConfigMap"]["metadata"]["annotations"] == before["ConfigMap"]["metadata"]["annotations"]
    assert after["Deployment"]["spec"]["template"] != before["Deployment"]["spec"]["template"]
    assert render(root, "staging") == render(DEPLOY, "staging")
