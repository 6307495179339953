"""Reloader and Argo CD's selfHeal do not undo each other's changes: one rollout per change, no OutOfSync, no loop.

The tests cover both strategies of Reloader. Argo CD undoes neither. They differ if Reloader sees a change twice, for
example after a restart: setting the same hash changes nothing, but the other strategy also writes the time.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drystone_testing import Git, Kubectl, refresh_applications, wait_until

NAME = "reload-test"
APPLICATION = f"{NAME}-dev"
FOLDER = f"deploy/environments/dev/{NAME}"
# How long a test watches after a requested reconciliation. The long form exceeds one reconciliation interval as well.
WATCHED_SECONDS = 20 if os.environ.get("DRYSTONE_SOAK") else 8


def objects(image: str, colour: str) -> list[dict[str, Any]]:
    labels = {"app": NAME}
    container = {
        "name": "main",
        "image": image,
        "command": ["sleep", "infinity"],
        "envFrom": [{"configMapRef": {"name": NAME}}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"cpu": "50m", "memory": "16Mi"}},
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    annotations = {"configmap.reloader.stakater.com/reload": NAME}
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {"COLOUR": colour}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": NAME, "annotations": annotations},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


class App:
    """A workload in Git that Argo CD deploys with selfHeal."""

    def __init__(self, kubectl: Kubectl, git: Git, clone: Path, image: str) -> None:
        self.kubectl, self.git, self.clone, self.image = kubectl, git, clone, image

    def publish(self, colour: str | None) -> None:
        """Push other content, or remove the content."""
        folder = self.clone / FOLDER
        if colour is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "kustomization.yaml").write_text("resources:\n  - objects.yaml\n")
            (folder / "objects.yaml").write_text(yaml.safe_dump_all(objects(self.image, colour)))
        for arguments in (["add", "--all"], ["commit", "--quiet", f"--message=Test {colour}"], ["push", "--quiet"]):
            done = self.git("-C", str(self.clone), *arguments)
            assert done.returncode == 0, done.stderr
        refresh_applications(self.kubectl)

    def status(self) -> dict[str, Any]:
        found = self.kubectl.run("get", "application", APPLICATION, "--namespace=argocd", "--output=json")
        status: dict[str, Any] = json.loads(found.stdout).get("status", {}) if found.returncode == 0 else {}
        return status

    def good(self) -> bool:
        status = self.status()
        return (status.get("sync", {}).get("status"), status.get("health", {}).get("status")) == ("Synced", "Healthy")

    def deployment(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kubectl.json("get", "deployment", NAME, "--namespace=dev")
        return found

    def revisions(self) -> int:
        return len(self.kubectl.items("replicasets", "--namespace=dev", f"--selector=app={NAME}"))

    def variables(self) -> dict[str, str]:
        (container,) = self.deployment()["spec"]["template"]["spec"]["containers"]
        return {one["name"]: one["value"] for one in container.get("env", [])}

    def patch(self, template: dict[str, Any]) -> None:
        """Change the Pod template as Reloader does."""
        change = json.dumps({"spec": {"template": template}})
        self.kubectl("patch", "deployment", NAME, "--namespace=dev", "--field-manager=Reloader", f"--patch={change}")

    def mark(self, when: str) -> None:
        """Change the Pod template like the strategy `annotations`."""
        source = json.dumps({"type": "CONFIGMAP", "name": NAME, "hash": "0" * 40, "observedAt": when})
        self.patch({"metadata": {"annotations": {"reloader.stakater.com/last-reloaded-from": source}}})

    def stays(self) -> None:
        """Check that nobody undoes or repeats the change after several reconciliations of Argo CD."""
        assert wait_until(self.good, timeout=90), self.status()
        before = (self.revisions(), self.deployment()["metadata"]["generation"], len(self.status()["history"]))
        refresh = "argocd.argoproj.io/refresh=hard"
        self.kubectl("annotate", "application", APPLICATION, "--namespace=argocd", "--overwrite", refresh)
        seen: list[Any] = []

        def disturbed() -> bool:
            generation = self.deployment()["metadata"]["generation"]
            sync = self.status()["sync"]["status"]
            now = (self.revisions(), generation, len(self.status()["history"]))
            seen.append((now, sync))
            return now != before or sync != "Synced"

        assert not wait_until(disturbed, timeout=WATCHED_SECONDS, every=1), (before, seen[-1])


@pytest.fixture(scope="module")
def app(kubectl: Kubectl, variables: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    git = Git(variables, "operator_key")
    clone = tmp_path_factory.mktemp("git") / "clone"
    assert git("clone", "--quiet", git.url, str(clone)).returncode == 0
    made = App(kubectl, git, clone, variables["images"]["redis"])
    made.publish("first")
    try:
        assert wait_until(made.good, timeout=180), made.status()
        yield made
    finally:
        made.publish(None)
        assert wait_until(lambda: not made.status(), timeout=180)


def test_self_heal_is_in_force(app: App) -> None:
    app.kubectl("scale", f"deployment/{NAME}", "--namespace=dev", "--replicas=2")
    assert wait_until(lambda: app.deployment()["spec"]["replicas"] == 1, timeout=90)


def test_a_commit_to_the_configmap_makes_one_rollout_that_stays(app: App) -> None:
    before = app.revisions()
    app.publish("second")
    assert wait_until(lambda: "STAKATER_RELOAD_TEST_CONFIGMAP" in app.variables(), timeout=120)
    app.stays()
    assert app.revisions() == before + 1
    shown = app.kubectl("exec", f"deployment/{NAME}", "--namespace=dev", "--", "printenv", "COLOUR")
    assert shown.strip() == "second"


def test_the_same_hash_again_is_no_rollout(app: App) -> None:
    before = app.revisions()
    entries = [{"name": key, "value": value} for key, value in app.variables().items()]
    app.patch({"spec": {"containers": [{"name": "main", "env": entries}]}})
    app.stays()
    assert app.revisions() == before


@pytest.mark.soak
def test_the_other_strategy_stays_as_well_but_is_another_rollout_each_time(app: App) -> None:
    before = app.revisions()
    app.mark("2026-01-01T00:00:00Z")
    assert wait_until(lambda: app.revisions() == before + 1, timeout=30)
    app.stays()
    app.mark("2026-01-01T00:00:01Z")
    assert wait_until(lambda: app.revisions() == before + 2, timeout=30)
