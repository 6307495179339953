# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readiness conditions of the role depend on the content of Git: an environment may lack any workload."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[4]
Object = dict[str, Any]
COMMIT = "5b3d2b0ce1b2f1d6c5a4f0b0f3a1e2d3c4b5a697"
FOLDERS = ["dev/greeter", "dev/site", "staging/greeter", "staging.old/greeter", "production/my-app"]


def in_git(*folders: str) -> Object:
    return {"revision": COMMIT, "folders": list(folders)}


CASES: dict[str, Object] = {
    "two": {"environments": ["staging", "production"], "in_git": in_git(*FOLDERS)},
    "empty": {"environments": ["qa"], "in_git": in_git(*FOLDERS)},
    "none": {"environments": [], "in_git": in_git(*FOLDERS)},
    "elsewhere": {"environments": ["staging"], "in_git": {"skipped": True}},
}


@pytest.fixture(scope="module")
def conditions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Object]]:
    """Return the conditions of each case by type."""
    folder = tmp_path_factory.mktemp("workloads")
    env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    given = {"out": str(folder), "ansible_python_interpreter": sys.executable, "cases": CASES}
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,"]
    command += [f"--extra-vars={json.dumps(given)}", str(folder / "render.yml")]
    play = Path(__file__).with_name("render.yml").read_text()
    files = f"  vars_files:\n    - {ROOT}/roles/workloads/vars/main.yml\n  tasks:\n"
    (folder / "render.yml").write_text(play.replace("  tasks:\n", files, 1))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {case: json.loads((folder / f"{case}.json").read_text()) for case in CASES}
    return {case: {kind: one[kind] for one in listed for kind in one} for case, listed in found.items()}


def test_each_folder_of_the_environments_has_its_application_at_the_commit(conditions: dict[str, Object]) -> None:
    wanted = {"namespace": "argocd", "names": ["greeter-staging", "my-app-production"], "revision": COMMIT}
    assert conditions["two"]["applications"] == wanted
    assert conditions["two"]["workloads"]["namespaces"] == ["staging", "production"]


def test_for_an_empty_environment_nothing_is_waited_for(conditions: dict[str, Object]) -> None:
    assert "applications" not in conditions["empty"]
    assert conditions["empty"]["workloads"]["allow_empty"] is True
    assert set(conditions["none"]) == {"resources"}


def test_where_nobody_can_read_the_repository_there_must_be_some_application(conditions: dict[str, Object]) -> None:
    assert conditions["elsewhere"]["applications"] == {
        "namespace": "argocd",
        "selector": "app.kubernetes.io/part-of=workloads",
    }
