"""Argo Rollouts brings a new version of hello to all users, or takes it back."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from drystone_testing import Git, Kubectl, Repository, Users, deployed, refresh_applications, wait_until

HOST, NAMESPACE, ROLLOUT = "dev.example.com", "--namespace=dev", "rollouts.argoproj.io"
VALUES = "deploy/environments/dev/hello/values.yaml"
RATE, THREADS = 50, 10


class Load(Users):
    """Users who send a constant rate of requests with the right token through the ingress, until they are stopped."""

    def __init__(self, port: int, token: str) -> None:
        self.answers: list[tuple[float, int | str]] = []
        self._port, self._headers = port, {"Host": HOST, "X-Auth-Token": token}
        super().__init__(THREADS)

    def act(self, number: int) -> None:
        due = time.monotonic() + number / RATE
        while not self.stopped.wait(max(0.0, due - time.monotonic())):
            due += THREADS / RATE
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", "/app", headers=self._headers)
                answer: int | str = connection.getresponse().status
            except (OSError, http.client.HTTPException) as error:
                answer = repr(error)
            finally:
                connection.close()
            self.answers.append((time.monotonic(), answer))

    def failed(self, since: float = 0) -> list[tuple[float, int | str]]:
        return [one for one in self.answers if one[0] >= since and one[1] != 200]


def in_rollout(kubectl: Kubectl, timeout: float, holds: Callable[[dict[str, Any]], bool]) -> bool:
    return kubectl.watch(holds, ROLLOUT, "hello", NAMESPACE, timeout=timeout)


def observed(rollout: dict[str, Any]) -> bool:
    return bool(rollout["status"]["observedGeneration"] == str(rollout["metadata"]["generation"]))


@pytest.fixture
def repository(kubectl: Kubectl, variables: dict[str, Any], tmp_path: Path) -> Iterator[Repository]:
    made = Repository(Git(variables, "operator_key"), tmp_path / "clone")
    try:
        yield made
    finally:
        commit = made.restore()
        refresh_applications(kubectl)
        assert wait_until(lambda: deployed(kubectl, "hello-dev", commit), timeout=240, every=2)


@pytest.fixture
def load(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[Load]:
    data = kubectl.json("get", "secret", "hello", NAMESPACE)["data"]
    with Load(variables["http_port"], base64.b64decode(data["token"]).decode()) as running:
        yield running


def test_a_bad_version_is_aborted_and_a_revert_brings_git_and_cluster_together(
    kubectl: Kubectl, repository: Repository, load: Load
) -> None:
    repository.change(VALUES, lambda values: values.update(config={"failRate": 1}), "Break hello")
    refresh_applications(kubectl)
    assert in_rollout(kubectl, 180, lambda one: one["status"].get("abort") is True)

    # The stable version serves again, and the Application says in words why.
    assert in_rollout(kubectl, 60, lambda one: observed(one) and one["status"]["phase"] == "Degraded")
    assert wait_until(lambda: not load.failed(time.monotonic() - 5), timeout=60)
    application = ("applications.argoproj.io", "hello-dev", "--namespace=argocd")

    def degraded(one: dict[str, Any]) -> bool:
        return bool(one["status"]["health"]["status"] == "Degraded")

    assert kubectl.watch(degraded, *application, timeout=120)
    message = kubectl.json("get", ROLLOUT, "hello", NAMESPACE)["status"]["message"]
    assert "share of 5xx answers" in message

    # Only users of the canary saw errors, and each of them a 500.
    failed = load.failed()
    first, last = failed[0][0], failed[-1][0]
    during = [one for one in load.answers if first <= one[0] <= last]
    assert {answer for _at, answer in failed} == {500}
    assert len(failed) / len(during) <= 0.5, (len(failed), len(during))

    reverted = repository.restore()
    refresh_applications(kubectl)
    assert wait_until(lambda: deployed(kubectl, "hello-dev", reverted), timeout=180, every=2)
    print(f"errors {len(failed)} of {len(during)} requests in {last - first:.1f} s")


@pytest.mark.soak
def test_a_commit_that_changes_only_the_tag_starts_a_canary_without_errors(
    kubectl: Kubectl, variables: dict[str, Any], repository: Repository, load: Load
) -> None:
    version = kubectl.json("get", ROLLOUT, "hello", NAMESPACE)["spec"]["template"]["spec"]["containers"][0]["image"]
    tag = version.rpartition(":")[2]
    copy_tag(variables["registry_port"], "hello", tag, "test")
    stable = kubectl.json("get", ROLLOUT, "hello", NAMESPACE)["status"]["stableRS"]
    commit = repository.change(VALUES, lambda values: values["image"].update(tag="test"), "Use another tag")
    refresh_applications(kubectl)
    assert in_rollout(kubectl, 120, lambda one: one["status"].get("currentStepIndex") == 1)
    assert in_rollout(
        kubectl,
        400,
        lambda one: observed(one) and one["status"]["phase"] == "Healthy" and one["status"]["stableRS"] != stable,
    )
    assert wait_until(lambda: deployed(kubectl, "hello-dev", commit), timeout=120, every=2)
    assert load.failed() == []
    print(f"no error in {len(load.answers)} requests")


@pytest.mark.soak
def test_the_autoscaler_follows_the_load(kubectl: Kubectl, load: Load) -> None:
    least = kubectl.json("get", "horizontalpodautoscaler", "hello", NAMESPACE)["spec"]["minReplicas"]

    def replicas(rollout: dict[str, Any]) -> int:
        return int(rollout["status"].get("readyReplicas", 0))

    assert in_rollout(kubectl, 240, lambda one: replicas(one) > least)
    load.__exit__()
    assert load.failed() == []
    assert in_rollout(kubectl, 600, lambda one: replicas(one) == least)


def copy_tag(port: int, name: str, old: str, new: str) -> None:
    """Give an image of the platform's registry a second tag."""
    url = f"http://127.0.0.1:{port}/v2/{name}/manifests/"
    with requests.Session() as session:
        session.trust_env = False
        types = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        read = session.get(url + old, headers={"Accept": types}, timeout=10)
        read.raise_for_status()
        headers = {"Content-Type": read.headers["Content-Type"]}
        session.put(url + new, data=read.content, headers=headers, timeout=10).raise_for_status()
