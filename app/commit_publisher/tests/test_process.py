# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The publisher as the container runs it: a process, its signals, exit codes and output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

APP = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "commit_publisher"]


def environ(folder: Path, **settings: str) -> dict[str, str]:
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        hook, metrics = (f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(APP),
        "WORKLOAD": "site",
        "NAMESPACE": "dev",
        "CONFIG_MAP": "site-git-content",
        "REPOSITORY": "https://user:secret@git.example.com/x.git",
        "REF": "main",
        "CONTENT_LINK": str(folder / "content"),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": "1",
        "WEBHOOK_BIND": hook,
        "METRICS_BIND": metrics,
        **settings,
    }


def test_serves_and_ends_with_zero_and_only_json_on_sigterm(tmp_path: Path) -> None:
    env = environ(tmp_path)
    (tmp_path / "content").symlink_to(f".worktrees/{'a' * 40}")
    with subprocess.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        probes, hook = f"http://{env['METRICS_BIND']}", f"http://{env['WEBHOOK_BIND']}"
        deadline = time.monotonic() + 20
        while True:
            try:
                assert requests.get(f"{probes}/healthz", timeout=5).status_code == 200
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "it does not answer"
                time.sleep(0.05)
        assert requests.get(f"{probes}/readyz", timeout=5).status_code == 503
        assert requests.post(hook, headers={"Gitsync-Hash": "b" * 40}, timeout=5).status_code == 503
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=15)
        assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["workload"] for line in lines if line["message"] == "started"] == ["site"]
    assert any(line["message"].startswith("not published: reading the time of commit") for line in lines)
    assert "secret" not in output


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"REF": ""}, "REF must be set (the component git-content sets them)"),
        (
            {"WEBHOOK_BIND": "0.0.0.0:1"},
            "WEBHOOK_BIND must be a loopback address, not 0.0.0.0: it requires no credentials",
        ),
        (
            {"METRICS_BIND": "8081"},
            "METRICS_BIND must be an IP address and a port, as in 0.0.0.0:8081, not '8081'",
        ),
    ],
)
def test_a_wrong_setting_is_refused_at_start_in_one_line(tmp_path: Path, settings: dict[str, str], error: str) -> None:
    env = environ(tmp_path, **settings)
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert done.stderr == f"commit-publisher: {error}\n"
    assert not done.stdout


def test_a_bug_in_the_thread_that_publishes_ends_the_container(tmp_path: Path) -> None:
    broken = (
        "import os, sys; from commit_publisher import __main__ as command;"
        "command.Publisher.run = lambda self: {}['bug']; sys.exit(command.main(os.environ))"
    )
    done = subprocess.run(
        [sys.executable, "-c", broken], env=environ(tmp_path), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "KeyError: 'bug'" in done.stdout
