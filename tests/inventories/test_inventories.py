"""Run every shipped inventory and one that is not shipped: from nothing to the end, a second time, and down.

Two inventories run at a time, because they must work on one host at the same time. `make down` must save the history
of their Git servers, also if the nodes are stopped.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.inventories.inventory import FOREIGN, SHIPPED, Inventory

NAMES = [*SHIPPED, FOREIGN]
PAIRS = [tuple(NAMES[index : index + 2]) for index in range(0, len(NAMES), 2)]


@pytest.fixture(scope="module", params=PAIRS, ids="+".join)
def pair(request: pytest.FixtureRequest, inventories: dict[str, Inventory]) -> list[Inventory]:
    """Two inventories whose clusters exist at the same time."""
    chosen = [inventories[name] for name in request.param]
    for inventory in chosen:
        inventory.run("site.yml")
    return chosen


def test_a_second_run_changes_nothing(pair: list[Inventory]) -> None:
    for run in [inventory.start("site.yml") for inventory in pair]:
        assert "changed=0" in run.ends_well()


def test_each_environment_runs_what_its_folder_says(pair: list[Inventory]) -> None:
    for inventory in pair:
        expected = {
            f"{folder.name}-{environment}"
            for environment in inventory.variables["drystone_environments"]
            for folder in (inventory.deploy / "environments" / environment).iterdir()
        }
        found = inventory.kubectl("get", "applications.argoproj.io", "--all-namespaces")["items"]
        assert {one["metadata"]["name"] for one in found} == expected
        assert {one["status"]["health"]["status"] for one in found} == {"Healthy"}


def test_only_the_chosen_parts_exist_in_the_chosen_namespaces(pair: list[Inventory]) -> None:
    for inventory in pair:
        present = {one["metadata"]["name"] for one in inventory.kubectl("get", "namespaces")["items"]}
        wanted = {
            "argocd": inventory.variables.get("argocd_namespace", "argocd"),
            "kube_prometheus_stack": inventory.variables.get("kube_prometheus_stack_namespace", "monitoring"),
            "argo_rollouts": "argo-rollouts",
            "ingress": "ingress",
        }
        chosen = inventory.variables.get("drystone_parts", [*wanted])
        possible = {"argocd", "monitoring", *wanted.values()}
        assert present & possible == {namespace for part, namespace in wanted.items() if part in chosen}


def test_the_nodes_are_those_of_the_inventory(pair: list[Inventory]) -> None:
    for inventory in pair:
        wanted = inventory.variables.get("kind_cluster_nodes", [{}, {}, {}])
        nodes = inventory.kubectl("get", "nodes")["items"]
        assert len(nodes) == len(wanted)
        for labels in (one.get("labels", {}) for one in wanted):
            assert any(labels.items() <= node["metadata"]["labels"].items() for node in nodes), labels


def test_down_removes_nothing_while_the_history_cannot_be_saved(pair: list[Inventory]) -> None:
    inventory = pair[0]
    containers = inventory.containers()
    scale = ["scale", "deployment/git-server", "--namespace=git"]
    inventory.kubectl(*scale, "--replicas=0")
    try:
        run = inventory.start("playbooks/destroy_cluster.yml", "--extra-vars=git_server_timeout=10")
        refused = " ".join(run.output().split())
        assert run.process.returncode != 0
        assert "so the cluster is kept and nothing was removed" in refused
        assert "git_server_discard_history=true" in refused
        assert inventory.containers() == containers
    finally:
        inventory.kubectl(*scale, "--replicas=1")
        ready = ["--for=jsonpath={.status.readyReplicas}=1", "--timeout=120s"]
        inventory.kubectl("wait", "deployment/git-server", "--namespace=git", *ready)


def test_down_saves_every_ref_also_if_the_nodes_are_stopped(pair: list[Inventory], tmp_path: Path) -> None:
    pushed = {inventory.name: push(inventory, tmp_path / inventory.name) for inventory in pair}
    for inventory in pair:
        subprocess.run(["docker", "stop", "--time=5", *inventory.containers()], check=True, capture_output=True)
        inventory.run("playbooks/destroy_cluster.yml")
        assert inventory.left() == []
        bundle = Path(inventory.env["XDG_DATA_HOME"]) / "drystone" / inventory.cluster / "platform.bundle"
        listed = subprocess.run(
            ["git", "bundle", "list-heads", str(bundle)], check=True, capture_output=True, text=True
        )
        refs = {name: commit for commit, name in (line.split(" ", 1) for line in listed.stdout.splitlines())}
        assert pushed[inventory.name].items() <= refs.items()


def push(inventory: Inventory, clone: Path) -> dict[str, str]:
    """Push a branch and a tag as the README describes, and return the refs with their objects."""
    env = inventory.told()
    port = 2222 + inventory.variables.get("drystone_port_offset", 0)
    url = f"ssh://git@127.0.0.1:{port}/srv/git/platform.git"

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            env={**env, "GIT_SSH_COMMAND": env["DRYSTONE_GIT_SSH"], "GIT_CONFIG_GLOBAL": os.devnull},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    git("clone", "--quiet", url, str(clone))
    git("-C", str(clone), "checkout", "--quiet", "-b", "work")
    git("-C", str(clone), "commit", "--quiet", "--allow-empty", "--message=Only in the cluster")
    git("-C", str(clone), "tag", "--annotate", "--message=Released", "v1")
    git("-C", str(clone), "push", "--quiet", "origin", "work", "v1")
    return {name: git("-C", str(clone), "rev-parse", name) for name in ("refs/heads/work", "refs/tags/v1")}
