"""Argo CD deploys the content of Git to its environment, a commit goes live by itself, the project limits rights."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from drystone_testing import Http, Kubectl, run, wait_until

ENVIRONMENTS = {"dev": 1, "staging": 2, "production": 3}


@pytest.mark.parametrize(("environment", "replicas"), ENVIRONMENTS.items())
def test_the_application_is_synced_and_healthy(kubectl: Kubectl, environment: str, replicas: int) -> None:
    status = kubectl.json("get", "application", f"greeter-{environment}", "--namespace=argocd")["status"]
    assert status["sync"]["status"] == "Synced"
    assert status["health"]["status"] == "Healthy"
    deployment = kubectl.json("get", "deployment", "greeter", f"--namespace={environment}")
    assert deployment["status"]["availableReplicas"] >= replicas


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_greeter_answers_with_the_greeting_of_the_secret(kubectl: Kubectl, http: Http, environment: str) -> None:
    data = kubectl.json("get", "secret", "greeter", f"--namespace={environment}")["data"]
    greeting = base64.b64decode(data["greeting"]).decode()
    assert http.get(environment, "greeter", 8000, "/healthz").status_code == 200
    assert http.get(environment, "greeter", 8000, "/readyz").status_code == 200
    assert http.get(environment, "greeter", 8000, "/").text.strip() == greeting
    # /work fails sometimes by design.
    assert wait_until(lambda: http.get(environment, "greeter", 8000, "/work").status_code == 200)
    assert "# TYPE" in http.get(environment, "greeter", 8000, "/metrics").text


@pytest.mark.parametrize("project", ["workloads", "greeter"])
def test_a_project_allows_the_environments_alone(kubectl: Kubectl, variables: dict[str, Any], project: str) -> None:
    spec = kubectl.json("get", "appproject", project, "--namespace=argocd")["spec"]
    assert {one["namespace"] for one in spec["destinations"]} == set(ENVIRONMENTS)
    assert spec["sourceRepos"] == [variables["git_url"]]
    assert not spec.get("clusterResourceWhitelist")
    assert {one["kind"] for one in spec["namespaceResourceBlacklist"]} == {"LimitRange", "ResourceQuota"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_application_is_in_the_project_of_the_team_that_owns_it(kubectl: Kubectl, environment: str) -> None:
    spec = kubectl.json("get", "application", f"greeter-{environment}", "--namespace=argocd")["spec"]
    assert spec["project"] == "greeter"


def test_a_team_may_see_and_sync_what_is_its_own_and_nothing_else(kubectl: Kubectl) -> None:
    (role,) = kubectl.json("get", "appproject", "greeter", "--namespace=argocd")["spec"]["roles"]
    assert role["groups"] == ["greeter"]
    lines = [line.split(", ") for line in role["policies"]]
    assert {(line[3], line[4]) for line in lines} == {("get", "greeter/*"), ("sync", "greeter/*")}


def test_a_hand_edit_is_healed(kubectl: Kubectl) -> None:
    kubectl("label", "service", "greeter", "--namespace=dev", "app.kubernetes.io/name=edited", "--overwrite")

    def healed() -> bool:
        labels = kubectl.json("get", "service", "greeter", "--namespace=dev")["metadata"]["labels"]
        return bool(labels["app.kubernetes.io/name"] == "greeter")

    assert wait_until(healed, timeout=90)


def test_a_commit_is_live_with_no_other_hand(kubectl: Kubectl, variables: dict[str, Any], tmp_path: Path) -> None:
    keys = variables["git_dir"]
    ssh = f"ssh -F /dev/null -i {keys}/operator_key -o IdentitiesOnly=yes -o UserKnownHostsFile={keys}/known_hosts"
    identity = {f"GIT_{who}_{what}": "test" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = {**os.environ, **identity, "GIT_SSH_COMMAND": ssh, "GIT_CONFIG_GLOBAL": "/dev/null"}
    clone = tmp_path / "clone"

    def git(*arguments: str) -> None:
        done = run("git", *arguments, env=env)
        assert done.returncode == 0, done.stderr

    def annotation() -> str:
        found = kubectl.json("get", "deployment", "greeter", "--namespace=dev")["metadata"].get("annotations", {})
        return str(found.get("drystone.dev/test", ""))

    git("clone", "--quiet", variables["git_host_url"], str(clone))
    path = clone / "deploy/environments/dev/greeter/kustomization.yaml"
    before = path.read_text()
    path.write_text(before + "commonAnnotations:\n  drystone.dev/test: live\n")
    assert not re.search(r"^commonAnnotations:", before, re.MULTILINE)
    git("-C", str(clone), "commit", "--quiet", "--all", "--message=Annotate the greeter")
    git("-C", str(clone), "push", "--quiet", "origin", "HEAD:main")
    try:
        assert wait_until(lambda: annotation() == "live", timeout=90)
        production = kubectl.json("get", "deployment", "greeter", "--namespace=production")
        assert "drystone.dev/test" not in production["metadata"].get("annotations", {})
    finally:
        git("-C", str(clone), "revert", "--no-edit", "HEAD")
        git("-C", str(clone), "push", "--quiet", "origin", "HEAD:main")
    assert wait_until(lambda: annotation() == "", timeout=90)


def test_prometheus_scrapes_every_environment(kubectl: Kubectl) -> None:
    service = "/api/v1/namespaces/monitoring/services/kube-prometheus-stack-prometheus:9090/proxy"

    def seen() -> set[str]:
        answer = json.loads(kubectl("get", f"--raw={service}/api/v1/query?query=greeter_build_info"))
        return {row["metric"]["namespace"] for row in answer["data"]["result"]}

    assert wait_until(lambda: set(ENVIRONMENTS) <= seen(), timeout=120), seen()
