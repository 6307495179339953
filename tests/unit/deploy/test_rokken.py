# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rendered manifests of Rokken: images, security, rollouts, the volume and the policies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import validate

DEPLOY = Path(validate.__file__).parent
PODS = [("Deployment", "rokken-backend"), ("Deployment", "rokken-frontend"), ("StatefulSet", "rokken-database")]
Object = dict[str, Any]


@pytest.fixture(scope="module")
def rendered() -> dict[tuple[str, str], Object]:
    try:
        kustomize = validate.find_tool("kustomize", None)
    except validate.Unusable as error:
        pytest.skip(f"needs the real tool, which `make up` and `make test` provide: {error}")
    text, failed = validate.build(kustomize, DEPLOY / "environments/dev/rokken")
    assert failed is None
    documents = list(yaml.safe_load_all(text))
    objects = {(document["kind"], document["metadata"]["name"]): document for document in documents}
    assert len(objects) == len(documents)
    return objects


def pod(rendered: dict[tuple[str, str], Object], key: tuple[str, str]) -> Object:
    found: Object = rendered[key]["spec"]["template"]["spec"]
    return found


def test_the_images_are_those_that_the_platform_builds(rendered: dict[tuple[str, str], Object]) -> None:
    defaults = yaml.safe_load((DEPLOY.parent / "roles/common/defaults/main.yml").read_text())
    used = {container["image"] for key in PODS for container in pod(rendered, key)["containers"]}
    version, major = defaults["drystone_rokken_version"], defaults["drystone_postgresql_version"]
    assert used == {
        f"drystone.local/rokken-backend:{version}",
        f"drystone.local/rokken-frontend:{version}",
        f"drystone.local/postgresql:{major}",
    }
    (migrate,) = pod(rendered, PODS[0])["initContainers"]
    (serve,) = pod(rendered, PODS[0])["containers"]
    assert migrate["image"] == serve["image"]
    assert [migrate[key] for key in ("args", "env", "volumeMounts")] == [
        ["migrate"],
        *(serve[key] for key in ("env", "volumeMounts")),
    ]


@pytest.mark.parametrize("key", PODS)
def test_pods_are_restricted_and_limited(rendered: dict[tuple[str, str], Object], key: tuple[str, str]) -> None:
    spec = pod(rendered, key)
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == key[1]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]["limits"]) == set(container["resources"]["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("key", PODS)
def test_each_part_has_a_service_a_budget_and_a_policy_for_its_pods(
    rendered: dict[tuple[str, str], Object], key: tuple[str, str]
) -> None:
    labels = rendered[key]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        rendered["Service", key[1]]["spec"]["selector"],
        rendered["PodDisruptionBudget", key[1]]["spec"]["selector"]["matchLabels"],
        rendered["NetworkPolicy", key[1]]["spec"]["podSelector"]["matchLabels"],
        rendered[key]["spec"]["selector"]["matchLabels"],
    ]
    assert selectors == [{"app.kubernetes.io/name": key[1]}] * 4
    assert labels["app.kubernetes.io/name"] == key[1]
    # The Service tells `verify` of the role guardrails about the isolation of its pods.
    isolation = "drystone.dev/isolation"
    assert rendered["Service", key[1]]["metadata"]["labels"].get(isolation) == labels.get(isolation)
    (port,) = rendered["Service", key[1]]["spec"]["ports"]
    assert port["targetPort"] in [one["name"] for one in pod(rendered, key)["containers"][0]["ports"]]


def test_the_isolation_is_that_of_the_requirement(rendered: dict[tuple[str, str], Object]) -> None:
    found = {
        key[1]: rendered[key]["spec"]["template"]["metadata"]["labels"].get("drystone.dev/isolation") for key in PODS
    }
    assert found == {"rokken-backend": "namespace", "rokken-frontend": None, "rokken-database": "full"}
    allowed = {
        key[1]: [
            peer["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
            for rule in rendered["NetworkPolicy", key[1]]["spec"]["ingress"]
            for peer in rule["from"]
        ]
        for key in PODS
    }
    assert allowed["rokken-database"] == ["rokken-backend"]
    assert allowed["rokken-backend"] == ["rokken-frontend"]


def test_the_backend_has_three_replicas_and_loses_none_in_a_rollout(rendered: dict[tuple[str, str], Object]) -> None:
    spec = rendered["Deployment", "rokken-backend"]["spec"]
    assert spec["replicas"] == 3
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_the_data_outlives_the_database(rendered: dict[tuple[str, str], Object]) -> None:
    spec = rendered["StatefulSet", "rokken-database"]["spec"]
    assert spec["replicas"] == 1
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (claim,) = spec["volumeClaimTemplates"]
    (mount,) = [one for one in pod(rendered, PODS[2])["containers"][0]["volumeMounts"] if one["name"] == "data"]
    assert claim["metadata"]["name"] == mount["name"]
    dockerfile = (DEPLOY.parent / "app/rokken/database/Dockerfile").read_text()
    assert f"\nVOLUME {mount['mountPath']}\n" in dockerfile


def test_the_ingress_controller_sends_the_api_to_the_backend_and_the_rest_to_the_page(
    rendered: dict[tuple[str, str], Object],
) -> None:
    (rule,) = rendered["Ingress", "rokken"]["spec"]["rules"]
    assert rule["host"] == "rokken.localhost"
    assert {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {
        "/api": "rokken-backend",
        "/": "rokken-frontend",
    }


def test_prometheus_scrapes_the_backend_alone(rendered: dict[tuple[str, str], Object]) -> None:
    (monitor,) = [document for (kind, _), document in rendered.items() if kind == "ServiceMonitor"]
    assert monitor["spec"]["selector"]["matchLabels"] == {"app.kubernetes.io/name": "rokken-backend"}
