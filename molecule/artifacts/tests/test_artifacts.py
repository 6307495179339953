"""Tools, images and manifests exist and have the pinned versions."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from testinfra.host import Host

from drystone_testing import ROOT

VERSION_COMMANDS = {
    "helm": "version --short",
    "kind": "version",
    "kubeconform": "-v",
    "kubectl": "version --client",
    "kustomize": "version",
}
VERSION_OF = {"kubectl": "kubernetes"}


@pytest.mark.parametrize("tool", sorted(VERSION_COMMANDS))
def test_the_tool_is_at_its_pin(host: Host, variables: dict[str, Any], tool: str) -> None:
    done = host.run(f"{variables['bin_dir']}/{tool} {VERSION_COMMANDS[tool]}")
    assert done.rc == 0, done.stderr
    assert variables[f"{VERSION_OF.get(tool, tool)}_version"] in done.stdout + done.stderr


def test_the_engine_holds_the_node_image(host: Host, variables: dict[str, Any]) -> None:
    version = host.check_output(
        f"docker run --rm --network none --entrypoint cat {variables['node_image']} /kind/version"
    )
    assert version.strip() == f"v{variables['kubernetes_version']}"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("part", ["argo-cd", "argo-rollouts", "metrics-server", "prometheus-operator-crds"])
def test_upstream_s_manifests_are_the_same_bytes_wherever_they_came_from(variables: dict[str, Any], part: str) -> None:
    contracts = [yaml.safe_load(path.read_text()) for path in (ROOT / "roles").glob("*/meta/part.yml")]
    files = [file for contract in contracts for file in contract.get("files", [])]
    [pinned] = [file["tree_sum"] for file in files if file["name"] == part]
    found = sorted(content(Path(variables["manifests_dir"]) / part).items())
    lines = "".join(f"{hashlib.sha256(it).hexdigest()}  {name}\n" for name, it in found)
    assert f"h1:{base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()}" == pinned


def test_the_chart_is_upstream_s_with_its_subcharts_or_else_ours(variables: dict[str, Any]) -> None:
    charts = Path(variables["charts_dir"])
    found = content(charts / "kube-prometheus-stack")
    if not (charts / ".kube-prometheus-stack-upstream").exists():
        assert found == content(ROOT / "bundle/charts/kube-prometheus-stack")
        return
    chart = yaml.safe_load(found["Chart.yaml"])
    assert chart["version"] == variables["kube_prometheus_stack_version"]
    assert {f"charts/{dependency['name']}/Chart.yaml" for dependency in chart["dependencies"]} <= found.keys()
