# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with a fake docker client."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import RunModule

RUNNING = """#!/bin/sh
echo "$1" >> "$(dirname "$0")/asked"
case $1 in
  version) echo '{"Version": "20.10.24", "ApiVersion": "1.41"}' ;;
  context) echo unix:///var/run/docker.sock ;;
  info) echo '{"DockerRootDir": "/srv/docker", "DefaultRuntime": "runc", "Containers": 2}' ;;
  run) echo 'unable to apply caps: operation not permitted' >&2; exit 125 ;;
esac
"""
STOPPED = """#!/bin/sh
[ "$1" = context ] && { echo unix:///var/run/docker.sock; exit; }
echo 'Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2
exit 1
"""
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(tmp_path: Path, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> Ask:
    def asked(docker: str, **arguments: Any) -> dict[str, Any]:
        program = tmp_path / "docker"
        program.write_text(docker)
        program.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        arguments = {"record": str(tmp_path / "record.json"), **arguments}
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        done = run_module("engine_info", arguments, environ=environ)
        assert done.code == int(done.result.get("failed", False))
        result: dict[str, Any] = done.result
        return result

    return asked


def test_a_running_engine_that_is_not_on_record_is_not_ours(ask: Ask) -> None:
    result = ask(RUNNING)
    assert result["engine"]["state"] == "running"
    assert result["engine"]["containers"] == 2
    assert (result["managed"], result["recorded"], result["problem"]) == (False, False, "")
    assert result["changed"] is False
    assert result["privileged_error"] is None


def test_an_engine_on_record_is_ours(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    assert (ask(RUNNING)["managed"], ask(STOPPED)["managed"]) == (True, True)


def test_privileged_containers_are_tried_only_where_they_may_not_work(ask: Ask, tmp_path: Path) -> None:
    result = ask(RUNNING, probe_privileged=True)
    asked = (tmp_path / "asked").read_text().split()
    if result["missing_capabilities"]:
        assert result["privileged_error"] == "unable to apply caps: operation not permitted"
        assert asked[-4:] == ["import", "run", "rm", "rmi"]
    else:
        assert result["privileged_error"] == ""
        assert "run" not in asked


def test_a_stopped_engine_is_a_problem_only_where_it_may_not_be_started(ask: Ask) -> None:
    assert ask(STOPPED)["problem"] == "" or "apt-get" in ask(STOPPED)["problem"]
    told = ask(STOPPED, may_install=False)["problem"]
    assert told.startswith("Docker engine: Docker does not answer at unix:///var/run/docker.sock: Cannot connect")
