"""A commit that cannot be deployed never keeps the next commit from being deployed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drystone_testing import Git, Kubectl, Repository, deployed, refresh_applications, wait_until

Edit = Callable[[dict[str, Any]], object]
# The time limit of a sync and the pauses between its attempts
RECOVERY = 600


def image(name: str) -> Edit:
    """Use a tag that no registry has."""
    return lambda kustomization: kustomization.update(images=[{"name": f"drystone.local/{name}", "newTag": "absent"}])


@pytest.mark.soak
@pytest.mark.parametrize(
    ("workload", "file", "edit"),
    [
        pytest.param("greeter", "kustomization.yaml", image("greeter"), id="greeter"),
        pytest.param("site", "kustomization.yaml", image("site"), id="site"),
        pytest.param("site", "kustomization.yaml", image("git-sync"), id="site: git-sync"),
        pytest.param("rokken", "kustomization.yaml", image("rokken-backend"), id="rokken: backend"),
        pytest.param("rokken", "kustomization.yaml", image("postgresql"), id="rokken: database"),
        pytest.param("hello", "values.yaml", lambda values: values["image"].update(tag="absent"), id="hello"),
    ],
)
def test_the_next_commit_is_deployed(
    kubectl: Kubectl, variables: dict[str, Any], tmp_path: Path, workload: str, file: str, edit: Edit
) -> None:
    repository = Repository(Git(variables, "operator_key"), tmp_path / "clone")
    application = ("applications.argoproj.io", f"{workload}-dev", "--namespace=argocd")
    try:
        bad = repository.change(f"deploy/environments/dev/{workload}/{file}", edit, f"Break {workload}")
        refresh_applications(kubectl)

        def reached(one: dict[str, Any]) -> bool:
            state = one["status"].get("operationState", {})
            return bool(state.get("operation", {}).get("sync", {}).get("revision") == bad)

        assert kubectl.watch(reached, *application, timeout=120)
    finally:
        good = repository.restore()
    refresh_applications(kubectl)
    assert wait_until(lambda: deployed(kubectl, f"{workload}-dev", good), timeout=RECOVERY, every=2)
