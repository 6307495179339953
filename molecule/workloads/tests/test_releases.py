"""Staging and production change only by promotion. A release that does not become healthy is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from drystone_testing import Git, Kubectl, Playbook, Repository, deployed, refresh_applications, wait_until

BASE = "deploy/workloads/greeter/base/kustomization.yaml"
STAGING = "deploy/environments/staging/greeter/kustomization.yaml"
ANNOTATION = "drystone.dev/test"
PROMOTION = {"workload": "greeter", "from": "dev", "to": "staging"}
PLACE = {"workload": "greeter", "env": "staging"}


class Platform(Repository):
    """A clone of the repository, to which playbooks push as well."""

    def update(self) -> None:
        self("fetch", "--quiet", "origin")
        self("reset", "--quiet", "--hard", "origin/main")

    def released(self, environment: str) -> str:
        self.update()
        return str(yaml.safe_load((self.clone / f"releases/{environment}/greeter.yaml").read_text())["revision"])


@pytest.fixture
def platform(kubectl: Kubectl, variables: dict[str, Any], tmp_path: Path) -> Iterator[Platform]:
    made = Platform(Git(variables, "operator_key"), tmp_path / "clone")
    staging = made.released("staging")
    try:
        yield made
    finally:
        made.update()
        commit = made.restore()
        kubectl(
            *("annotate", "applicationset", "workloads", "--namespace=argocd", "--overwrite"),
            "argocd.argoproj.io/application-set-refresh=true",
        )
        refresh_applications(kubectl)
        for environment, revision in (("dev", commit), ("staging", staging)):
            name = f"greeter-{environment}"
            assert wait_until(lambda: deployed(kubectl, name, revision), timeout=240, every=2)  # noqa: B023  used at once


def annotation(kubectl: Kubectl, environment: str) -> str:
    found = kubectl.json("get", "deployment", "greeter", f"--namespace={environment}")["metadata"]
    return str(found.get("annotations", {}).get(ANNOTATION, ""))


def available(kubectl: Kubectl, environment: str) -> int:
    found = kubectl.json("get", "deployment", "greeter", f"--namespace={environment}")["status"]
    return int(found.get("availableReplicas", 0))


def test_a_commit_reaches_staging_by_promotion_and_a_rollback_takes_it_back(
    kubectl: Kubectl, platform: Platform
) -> None:
    before = platform.released("staging")
    production = platform.released("production")
    annotate = {"commonAnnotations": {ANNOTATION: "promoted"}}
    commit = platform.change(BASE, lambda base: base.update(annotate), "Annotate the greeter")
    refresh_applications(kubectl)
    assert wait_until(lambda: deployed(kubectl, "greeter-dev", commit), timeout=180, every=2)
    assert [annotation(kubectl, one) for one in ("dev", "staging", "production")] == ["promoted", "", ""]

    promoted = Playbook("playbooks/promote.yml", PROMOTION)
    assert promoted.code == 0, promoted.output
    assert platform.released("staging") == commit
    assert [annotation(kubectl, one) for one in ("staging", "production")] == ["promoted", ""]
    again = Playbook("playbooks/promote.yml", PROMOTION)
    assert "changed=0" in again.output, again.output

    back = Playbook("playbooks/rollback.yml", PLACE)
    assert back.code == 0, back.output
    assert [platform.released("staging"), platform.released("production")] == [before, production]
    assert [annotation(kubectl, one) for one in ("dev", "staging")] == ["promoted", ""]

    shown = Playbook("playbooks/history.yml", PLACE)
    assert shown.code == 0, shown.output
    newest, older = [line for line in shown.output.splitlines() if "greeter" in line and "[" in line][:2]
    assert "Roll back greeter in staging" in newest
    assert "Promote greeter from dev to staging" in older
    assert "[healthy]" in newest
    assert "[healthy]" in older


@pytest.mark.soak
def test_a_release_that_is_not_healthy_is_taken_back(kubectl: Kubectl, platform: Platform) -> None:
    before, replicas = platform.released("staging"), available(kubectl, "staging")

    def never_ready(kustomization: dict[str, Any]) -> None:
        late = {"name": "greeter-config", "behavior": "merge", "literals": ["READINESS_DELAY_SEC=3600"]}
        kustomization["configMapGenerator"] = [late]

    commit = platform.change(STAGING, never_ready, "Break the greeter in staging")
    done = Playbook(
        "playbooks/promote.yml", {**PROMOTION, "revision": commit[:12], "workloads_release_timeout": 45}, timeout=900
    )
    assert done.code != 0
    said = " ".join(done.output.split())
    assert "Promote greeter from dev to staging: it failed, so the environment runs the commit before again" in said, (
        said
    )
    assert platform.released("staging") == before
    assert available(kubectl, "staging") >= replicas
    reason = platform("log", "-1", "--format=%B")
    assert 'Revert "Promote greeter from dev to staging"' in reason
    assert "Reason: " in reason


def test_what_removes_objects_or_names_no_environment_is_refused(kubectl: Kubectl, platform: Platform) -> None:
    before = platform.released("staging")
    commit = platform.change(
        BASE, lambda base: base["resources"].remove("disruption-budget.yaml"), "Remove the budget of the greeter"
    )
    refused = Playbook("playbooks/promote.yml", {**PROMOTION, "revision": commit})
    assert refused.code != 0
    assert "the change has the impact removal" in " ".join(refused.output.split())
    unknown = Playbook("playbooks/promote.yml", {**PROMOTION, "to": "nowhere"})
    assert unknown.code != 0
    assert '"nowhere" is not an environment of this cluster' in unknown.output.replace("\\", "")
    assert platform.released("staging") == before
