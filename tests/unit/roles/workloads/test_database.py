# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup and restore of Rokken's database: what is run in the cluster, and what a failure leaves."""

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

# It notes its arguments, reads its input, and fails for the command in FAIL.
KUBECTL = """#!/bin/bash
echo "$*" >> "$0.calls"
case "$*" in *--stdin*) cat > "$0.read" ;; esac
if [[ -f $0.fail && $* == *"$(<"$0.fail")"* ]]; then echo 'error: the reason' >&2; exit 1; fi
case "$*" in *backup) echo dump ;; *restore) echo The previous database is kept as rokken_1. ;; esac
"""


class Host:
    """A host with a stand-in for kubectl."""

    def __init__(self, folder: Path) -> None:
        self.kubectl = folder / "kubectl"
        self.kubectl.write_text(KUBECTL)
        self.kubectl.chmod(0o755)
        self.backup = folder / "backups/rokken.dump"

    def run(self, tasks: str, *options: str, fail: str = "") -> subprocess.CompletedProcess[str]:
        if fail:
            Path(f"{self.kubectl}.fail").write_text(fail)
        variables: Object = {
            "ansible_python_interpreter": sys.executable,
            "workloads_kubeconfig": "/kubeconfig",
            "workloads_tools_dir": str(self.kubectl.parent),
            "workloads_timeout": 7,
            "workloads_database_environment": "dev",
            "workloads_database_backup": str(self.backup),
        }
        play = [
            {
                "hosts": "localhost",
                "connection": "local",
                "gather_facts": False,
                "tasks": [{"ansible.builtin.import_tasks": str(ROOT / f"roles/workloads/tasks/{tasks}.yml")}],
            }
        ]
        file = self.kubectl.with_name("play.yml")
        file.write_text(json.dumps(play))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "--inventory=localhost,", str(file)]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        given = f"--extra-vars={json.dumps(variables)}"
        return subprocess.run([*command, given, *options], env=env, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        file = Path(f"{self.kubectl}.calls")
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_a_backup_is_read_back_before_it_is_kept(host: Host) -> None:
    done = host.run("backup_database")
    assert done.returncode == 0, done.stdout
    assert host.calls() == [
        "--namespace=dev exec statefulset/rokken-database -- database backup",
        "--namespace=dev exec --stdin statefulset/rokken-database -- database check",
    ]
    assert host.backup.read_text() == Path(f"{host.kubectl}.read").read_text() == "dump\n"
    assert host.backup.stat().st_mode & 0o777 == 0o600
    assert host.backup.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("step", ["backup", "check"])
def test_a_failed_backup_keeps_the_older_one(host: Host, step: str) -> None:
    host.backup.parent.mkdir()
    host.backup.write_text("older")
    done = host.run("backup_database", fail=f"database {step}")
    assert done.returncode != 0
    assert "Rokken's database in dev could not be backed up: error: the reason" in done.stdout
    assert host.backup.read_text() == "older"


def test_a_restore_reads_the_backup_first_and_applies_the_migrations_last(host: Host) -> None:
    host.backup.parent.mkdir()
    host.backup.write_text("dump")
    done = host.run("restore_database")
    assert done.returncode == 0, done.stdout
    assert host.calls() == [
        "--namespace=dev exec --stdin statefulset/rokken-database -- database check",
        "--namespace=dev exec --stdin statefulset/rokken-database -- database restore",
        "--namespace=dev rollout restart deployment/rokken-backend",
        "--namespace=dev rollout status deployment/rokken-backend --timeout=7s",
    ]
    assert "The previous database is kept as rokken_1." in done.stdout


@pytest.mark.parametrize(
    ("step", "result"),
    [
        ("database check", "The database was not replaced."),
        ("database restore", "The database was not replaced."),
        ("rollout status", "The database was replaced. The previous database is kept as rokken_1."),
    ],
)
def test_a_failed_restore_says_whether_the_database_was_replaced(host: Host, step: str, result: str) -> None:
    host.backup.parent.mkdir()
    host.backup.write_text("dump")
    done = host.run("restore_database", fail=step)
    assert done.returncode != 0
    assert f"from {host.backup} failed: error: the reason {result}" in done.stdout


def test_a_missing_backup_is_named_and_nothing_is_run(host: Host) -> None:
    done = host.run("restore_database")
    assert done.returncode != 0
    assert f"There is no backup {host.backup}, so the database in dev was not changed." in done.stdout
    assert host.calls() == []


@pytest.mark.parametrize("tasks", ["backup_database", "restore_database"])
def test_check_mode_runs_nothing(host: Host, tasks: str) -> None:
    host.backup.parent.mkdir()
    host.backup.write_text("older")
    assert host.run(tasks, "--check").returncode == 0
    assert host.calls() == []
    assert host.backup.read_text() == "older"
