# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, on the host of the test, with a fake docker client."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import RunModule

DOCKER = """#!/bin/sh
case $1 in
  version) echo '{"Version": "20.10.24", "ApiVersion": "1.41"}' ;;
  context) echo unix:///var/run/docker.sock ;;
  info) echo '{"DockerRootDir": "/", "Driver": "overlay2"}' ;;
  ps) cat "$(dirname "$0")/ps" ;;
esac
"""
Check = Callable[..., dict[str, Any]]


@pytest.fixture
def check(tmp_path: Path, run_module: RunModule, monkeypatch: pytest.MonkeyPatch) -> Check:
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    (tmp_path / "ps").write_text("")

    def checked(**arguments: Any) -> dict[str, Any]:
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        arguments = {"cluster": "dev", "min_cores": 0.1, "min_memory_mib": 16, **arguments}
        monkeypatch.delenv("DOCKER_HOST", raising=False)
        done = run_module("host_check", arguments, environ=environ)
        assert done.code == int(done.result.get("failed", False))
        result: dict[str, Any] = done.result
        return result

    return checked


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def port(number: int) -> dict[str, Any]:
    return {"port": number, "purpose": "HTTP", "variable": "drystone_http_port"}


def test_a_host_that_fits_passes_and_nothing_changes(check: Check) -> None:
    result = check(disks=[{"purpose": "images", "min_free_mib": 0, "min_free_again_mib": 0}])
    assert (result.get("failed", False), result["failures"], result["changed"]) == (False, [], False)


def test_all_failures_come_at_once_each_with_what_to_do(check: Check, busy: int) -> None:
    result = check(
        min_cores=4096,
        min_memory_mib=2**40,
        disks=[{"purpose": "images", "min_free_mib": 2**40, "min_free_again_mib": 2**40}],
        ports=[port(busy)],
        sysctls=[{"name": "kernel.pid_max", "minimum": 2**40, "value": 2**40}],
        raise_sysctls=False,
    )
    assert [failure["what"].split()[0] for failure in result["failures"]] == ["CPU", "Memory", "Disk", "Kernel", "Port"]
    assert all(failure[key] for failure in result["failures"] for key in ("seen", "needed", "advice"))
    assert f"held by pid {os.getpid()}" in result["msg"]
    assert "sudo sysctl -w kernel.pid_max=" in result["msg"]
    assert "Drystone created nothing" in result["msg"]


@pytest.mark.parametrize(
    ("labels", "ours"), [("io.x-k8s.kind.cluster=dev", True), ("io.x-k8s.kind.cluster=other", False)]
)
def test_a_port_that_our_own_node_holds_is_not_busy(
    check: Check, busy: int, tmp_path: Path, labels: str, ours: bool
) -> None:
    row = {"Names": "node", "Image": "i", "Labels": labels, "Ports": f"127.0.0.1:{busy}->80/tcp"}
    (tmp_path / "ps").write_text(json.dumps(row))
    result = check(ports=[port(busy)])
    assert result.get("failed", False) is not ours
    if not ours:
        assert "container node of image i" in result["msg"]
