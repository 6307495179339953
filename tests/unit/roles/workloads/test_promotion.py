# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What promotions and rollbacks refuse before they change anything, and the branch for a pull request.

molecule/workloads/tests/test_releases.py covers the rest on a cluster.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.bare_repository import Server

ROOT = Path(__file__).resolve().parents[4]
OBJECT = "apiVersion: v1\nkind: {}\nmetadata:\n  name: greeter\n"
FOLDER = "deploy/environments/{}/greeter/kustomization.yaml"
RELEASE = "releases/dev/greeter.yaml"


class Host:
    """A host with a repository, and a program instead of kustomize that prints the kustomization."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = Server(folder)
        tool = folder / "bin/kustomize"
        tool.parent.mkdir()
        tool.write_text('#!/bin/sh\ncat "$2/kustomization.yaml"\n')
        tool.chmod(0o755)

    def run(self, tasks: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        given = {
            "ansible_python_interpreter": sys.executable,
            "workloads_environments": ["dev", "staging"],
            "workloads_following": ["dev"],
            "workloads_kubeconfig": "/kubeconfig",
            "workloads_kubernetes_version": "1.36",
            "workloads_git_dir": str(self.folder),
            "workloads_git_host_url": str(self.server.path),
            "workloads_release_private_key": "",
            "workloads_release_known_hosts": "",
            "workloads_release_check_first": False,
            "workloads_release_workload": "greeter",
            "workloads_tools_dir": str(self.folder / "bin"),
            **variables,
        }
        role = ROOT / "roles/workloads"
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars_files": [str(role / "defaults/main.yml"), str(role / "vars/main.yml")],
            "tasks": [{"ansible.builtin.import_tasks": str(role / f"tasks/{tasks}.yml")}],
        }
        file = self.folder / "play.yml"
        file.write_text(json.dumps([play]))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,", str(file)]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        given_text = f"--extra-vars={json.dumps(given)}"
        return subprocess.run([*command, given_text], env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("tasks", "variables", "said"),
    [
        pytest.param("promote", {"workloads_release_workload": ""}, "name the workload", id="no workload"),
        pytest.param(
            "promote",
            {"workloads_release_environment": "qa", "workloads_release_from": "dev"},
            '"qa" is not an environment of this cluster. Name one of dev, staging',
            id="unknown target",
        ),
        pytest.param(
            "promote",
            {"workloads_release_environment": "staging", "workloads_release_from": "staging"},
            '"staging" cannot be the source. Name one of dev: -e from=',
            id="same environment",
        ),
        pytest.param("rollback", {"workloads_release_environment": "qa"}, "Name one of dev, staging", id="rollback"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused(
    host: Host, tasks: str, variables: dict[str, Any], said: str
) -> None:
    done = host.run(tasks, **variables)
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split()).replace("\\", "")


def test_a_rollback_goes_to_the_state_before_and_refuses_what_removes_objects(host: Host) -> None:
    first = host.server.commit({FOLDER.format("dev"): OBJECT.format("ConfigMap")}, "Seed")
    second = host.server.commit({FOLDER.format("dev"): OBJECT.format("Service")}, "Another kind")
    rollback = {"workloads_release_environment": "dev", "workloads_release_mode": "pull_request"}
    refused = host.run("rollback", **rollback)
    assert refused.returncode != 0
    assert "the change has the impact removal" in " ".join(refused.stdout.split())
    assert host.server.git("for-each-ref", "--format=%(refname)") == "refs/heads/main"
    done = host.run("rollback", **rollback, workloads_release_allow=["configuration", "removal"])
    assert done.returncode == 0, done.stdout
    branch = f"release/dev-greeter-{first[:12]}"
    assert f"revision: {first}" in host.server.file(RELEASE, branch)
    assert host.server.head() == second
    assert "configuration: ConfigMap greeter is added" in done.stdout
    assert "removal: Service greeter is removed" in done.stdout


def test_a_workload_without_an_earlier_state_is_named(host: Host) -> None:
    host.server.commit({FOLDER.format("dev"): OBJECT.format("ConfigMap")}, "Seed")
    done = host.run("rollback", workloads_release_environment="dev")
    assert done.returncode != 0
    assert "Rolling back greeter in dev: its history has no earlier state" in " ".join(done.stdout.split())


def test_a_promotion_to_an_environment_that_follows_the_branch_ends_a_rollback(host: Host) -> None:
    first = host.server.commit({FOLDER.format("dev"): OBJECT.format("ConfigMap")}, "Seed")
    host.server.commit({RELEASE: f"revision: {first}\n"}, "Roll back")
    done = host.run("promote", workloads_release_environment="dev", workloads_release_mode="pull_request")
    assert done.returncode == 0, done.stdout
    (branch,) = host.server.git("for-each-ref", "--format=%(refname:short)", "refs/heads/release").splitlines()
    assert host.server.git("ls-tree", "-r", "--name-only", branch, "releases") == ""
