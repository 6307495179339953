"""Fixtures for the tests of all scenarios."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from drystone_testing import Http, Kubectl, Playbook


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip long tests unless `make soak` runs them."""
    if not os.environ.get("DRYSTONE_SOAK"):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("soak")])
        items[:] = [item for item in items if not item.get_closest_marker("soak")]


@pytest.fixture(scope="session")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the shared variables drystone_* without their prefix."""
    path = tmp_path_factory.mktemp("variables") / "variables.json"
    told = Playbook("molecule/variables.yml", {"__variables_file": str(path)})
    assert told.code == 0, told.output
    return {name.removeprefix("drystone_"): value for name, value in json.loads(path.read_text()).items()}


@pytest.fixture(scope="session")
def kubectl(variables: dict[str, Any]) -> Kubectl:
    return Kubectl(f"{variables['bin_dir']}/kubectl", variables["kubeconfig"])


@pytest.fixture(scope="session")
def http(variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Http:
    return Http(variables["kubeconfig"], tmp_path_factory.mktemp("http"))


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """Create a namespace for the test and delete it afterwards."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")
