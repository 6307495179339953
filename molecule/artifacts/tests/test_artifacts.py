"""Tools, images and manifests are there, and are what the pins say."""

from __future__ import annotations

from typing import Any

import pytest
from testinfra.host import Host

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


@pytest.mark.parametrize("part", ["argocd", "metrics-server"])
def test_upstream_s_manifests_are_there(host: Host, variables: dict[str, Any], part: str) -> None:
    found = host.check_output(f"find {variables['manifests_dir']} -path '*{part}*' -name '*.yaml' -size +0")
    assert found.splitlines()
