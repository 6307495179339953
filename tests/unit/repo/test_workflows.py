# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workflows of GitHub Actions run the same commands as developers, with the least rights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SECRETS = ("CI_GITHUB_TOKEN", "DOCKER_PASS", "DOCKER_REGISTRY", "DOCKER_USER")


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(yaml.safe_load(request.param.read_text()))


@pytest.fixture
def jobs() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"])


def steps(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_every_command_is_a_make_target(workflow: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in steps(workflow):
        if "run" in step:
            program, *arguments = shlex.split(step["run"])
            assert program == "make"
            assert set(arguments) <= targets


def test_actions_are_pinned_by_commit_and_say_their_version() -> None:
    lines = [line for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    for line in lines:
        assert re.fullmatch(r" +(?:- )?uses: actions/[a-z-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line
    pins = {tuple(line.split("uses: ")[1].split("@")) for line in lines}
    assert len(pins) == len({action for action, _ in pins}), "one action has several versions"


def test_no_job_keeps_credentials_or_may_write(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert [job for job in workflow["jobs"].values() if "permissions" in job] == []
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_every_job_has_a_time_limit(workflow: dict[str, Any]) -> None:
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_only_the_release_of_main_gets_secrets(jobs: dict[str, Any]) -> None:
    with_secrets = [name for name, job in jobs.items() if "secrets." in str(job)]
    assert with_secrets == ["release"]
    release = jobs["release"]
    assert release["if"] == "github.event_name == 'push' && github.ref == 'refs/heads/main'"
    assert set(release["needs"]) == jobs.keys() - {"release"}
    (step,) = [step for step in release["steps"] if "env" in step]
    assert step["env"] == {name: f"${{{{ secrets.{name} }}}}" for name in SECRETS}
    assert commands(release) == ["make release"]


def test_every_branch_is_checked_built_scanned_and_deployed(jobs: dict[str, Any]) -> None:
    assert commands(jobs["check"])[0] == "make check"
    assert commands(jobs["apps"]) == ["make test-apps"]
    assert commands(jobs["images"]) == ["make images", "make sbom", "make scan"]
    assert commands(jobs["workloads"]) == ["make up", "make status", "make verify", "make down"]
    assert commands(jobs["roles"]) == ["make test-roles"]
    assert commands(jobs["inventories"]) == ["make test-inventories"]
