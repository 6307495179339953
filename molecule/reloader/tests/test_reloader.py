"""Each change causes one rollout, nothing else causes one, and Reloader cannot read other namespaces."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from drystone_testing import Http, Kubectl, Playbook, wait_until

ACCOUNT = "reloader/reloader"
NAMESPACE = "dev"


class Workload:
    """A Deployment with one idle Pod, and the ConfigMap of its environment variables."""

    def __init__(self, kubectl: Kubectl, image: str, annotations: dict[str, str]) -> None:
        self.kubectl = kubectl
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.where = f"--namespace={NAMESPACE}"
        self.set("first")
        kubectl.apply(
            self.deployment(image, {key: value.replace("NAME", self.name) for key, value in annotations.items()})
        )
        self.settle()

    def deployment(self, image: str, annotations: dict[str, str]) -> dict[str, Any]:
        labels = {"app": self.name}
        container = {
            "name": "main",
            "image": image,
            "command": ["sleep", "infinity"],
            "envFrom": [{"configMapRef": {"name": self.name}}],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        pod = {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": labels, "annotations": annotations},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        }

    def set(self, colour: str) -> None:
        self.kubectl.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": {"app": self.name}},
                "data": {"COLOUR": colour},
            }
        )

    def settle(self) -> None:
        self.kubectl("rollout", "status", f"deployment/{self.name}", self.where, "--timeout=120s")

    def revisions(self) -> int:
        return len(self.kubectl.items("replicasets", self.where, f"--selector=app={self.name}"))

    def colour(self) -> str:
        """Return the value in the running Pod."""
        return self.kubectl("exec", f"deployment/{self.name}", self.where, "--", "printenv", "COLOUR").strip()

    def events(self, reason: str) -> list[dict[str, Any]]:
        about = f"--field-selector=involvedObject.name={self.name},reason={reason}"
        return self.kubectl.items("events", self.where, about)

    def delete(self) -> None:
        self.kubectl("delete", "deployment,configmap", self.where, f"--selector=app={self.name}", "--wait=false")


@pytest.fixture
def make(kubectl: Kubectl, variables: dict[str, Any]) -> Iterator[Any]:
    made: list[Workload] = []

    def one(annotations: dict[str, str]) -> Workload:
        made.append(Workload(kubectl, variables["images"]["redis"], annotations))
        return made[-1]

    yield one
    for workload in made:
        workload.delete()


ASKING = {"configmap.reloader.stakater.com/reload": "NAME"}


@pytest.mark.parametrize("annotations", [ASKING, {"reloader.stakater.com/auto": "true"}])
def test_a_changed_configmap_makes_exactly_one_new_replica_set(make: Any, annotations: dict[str, str]) -> None:
    workload = make(annotations)
    assert workload.colour() == "first"
    workload.set("second")
    assert wait_until(lambda: workload.revisions() == 2, timeout=30)
    workload.settle()
    assert workload.colour() == "second"
    assert len(workload.events("Reloaded")) == 1
    assert not wait_until(lambda: workload.revisions() != 2, timeout=5)


def test_what_did_not_ask_or_did_not_change_stays(make: Any, kubectl: Kubectl) -> None:
    silent, labelled = make({}), make(ASKING)
    silent.set("second")
    kubectl("label", "configmap", labelled.name, labelled.where, "touched=yes")
    witness = make(ASKING)
    witness.set("second")
    assert wait_until(lambda: witness.revisions() == 2, timeout=30)
    assert (silent.revisions(), labelled.revisions()) == (1, 1)


def test_a_change_while_it_was_down_is_caught_and_nothing_else_restarts(make: Any, kubectl: Kubectl) -> None:
    changed, steady, never = make(ASKING), make(ASKING), make(ASKING)
    for workload in (changed, steady):
        workload.set("second")
        assert wait_until(lambda workload=workload: workload.revisions() == 2, timeout=30)  # type: ignore[misc]  # a default has no type
    kubectl("scale", "deployment/reloader", "--namespace=reloader", "--replicas=0")
    kubectl("wait", "--for=delete", "pods", "--all", "--namespace=reloader", "--timeout=60s")
    try:
        changed.set("third")
    finally:
        kubectl("scale", "deployment/reloader", "--namespace=reloader", "--replicas=1")
        kubectl("rollout", "status", "deployment/reloader", "--namespace=reloader", "--timeout=120s")
    assert wait_until(lambda: changed.revisions() == 3, timeout=30)
    changed.settle()
    assert changed.colour() == "third"
    assert steady.revisions() == 2
    # Upstream's Reloader adds a hash to a workload without one; the stand-in does not.
    assert never.revisions() == (1 if stand_in(kubectl) else 2)
    assert not wait_until(lambda: changed.revisions() != 3 or steady.revisions() != 2, timeout=5)


def stand_in(kubectl: Kubectl) -> bool:
    return "stand-in" in kubectl("logs", "deployment/reloader", "--namespace=reloader")


def test_it_restarts_nothing_by_being_restarted(make: Any, kubectl: Kubectl) -> None:
    workload = make(ASKING)
    workload.set("second")
    assert wait_until(lambda: workload.revisions() == 2, timeout=30)
    for _again in range(2):
        kubectl("delete", "pods", "--all", "--namespace=reloader")
        kubectl("rollout", "status", "deployment/reloader", "--namespace=reloader", "--timeout=120s")
    witness = make(ASKING)
    witness.set("second")
    assert wait_until(lambda: witness.revisions() == 2, timeout=30)
    assert workload.revisions() == 2


def test_its_metrics_count_reloads(make: Any, http: Http) -> None:
    def count() -> float:
        text = http.get("reloader", "reloader", 9090, "/metrics").text
        name = 'reloader_reload_executed_total{success="true"}'
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    workload = make(ASKING)
    before = count()
    workload.set("second")
    assert wait_until(lambda: count() == before + 1, timeout=30)


def test_what_it_may_do(kubectl: Kubectl) -> None:
    table = {
        f"list secrets {NAMESPACE}": True,
        f"patch deployments.apps {NAMESPACE}": True,
        f"patch rollouts.argoproj.io {NAMESPACE}": True,
        f"create deployments.apps {NAMESPACE}": False,
        f"update secrets {NAMESPACE}": False,
        "get secrets reloader": False,
        "get secrets kube-system": False,
        "list secrets argocd": False,
        "list configmaps kube-system": False,
        f"delete jobs.batch {NAMESPACE}": False,
    }
    assert dict(zip(table, kubectl.may(ACCOUNT, *table), strict=True)) == table


def test_its_pod_is_restricted_and_its_image_the_map_s(kubectl: Kubectl, variables: dict[str, Any]) -> None:
    labels = kubectl.json("get", "namespace", "reloader")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in kubectl.items("pods", "--namespace=reloader"):
        (container,) = pod["spec"]["containers"]
        assert container["image"] == variables["images"]["reloader"]
        assert container["securityContext"]["readOnlyRootFilesystem"]


def test_a_lost_pod_comes_back_and_a_drifted_field_is_put_right(kubectl: Kubectl) -> None:
    kubectl("delete", "pods", "--all", "--namespace=reloader")
    kubectl("scale", "deployment/reloader", "--namespace=reloader", "--replicas=0")
    done = Playbook("playbooks/deploy_platform.yml", {}, "--tags=reloader")
    assert done.code == 0, done.output
    assert kubectl.json("get", "deployment", "reloader", "--namespace=reloader")["spec"]["replicas"] == 1
    kubectl("rollout", "status", "deployment/reloader", "--namespace=reloader", "--timeout=120s")
