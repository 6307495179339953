# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The greeter as the container runs it: a real gunicorn process, its signals, exit codes and output."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

GREETER = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environ(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**inherited, "GREETING": "Hi from a secret", "READINESS_DELAY_SEC": "0", "FAIL_RATE": "0", **settings}


@contextmanager
def greeter(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the greeter until the test is done with it, from the moment it answers."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        COMMAND,
        cwd=GREETER,
        env=environ(BIND=address, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                requests.get(f"http://{address}/healthz", timeout=5)
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "gunicorn does not answer"
                time.sleep(0.05)
        yield process, f"http://{address}"
    finally:
        process.kill()
        process.wait()


def test_serves_and_ends_with_zero_and_only_json_on_sigterm() -> None:
    with greeter() as (process, url):
        assert requests.get(url, timeout=5).text == "Hi from a secret\n"
        assert requests.get(f"{url}/readyz", timeout=5).status_code == 200
        assert requests.get(f"{url}/work", timeout=5).status_code == 200
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["path"] for line in lines if line["logger"] == "greeter.access"} == {"/", "/work"}
    assert [line["fail_rate"] for line in lines if line["message"] == "started"] == [0.0]
    assert "Hi from a secret" not in output


def test_a_request_in_flight_is_answered_after_sigterm() -> None:
    with greeter(FAULTS_ENABLED="true") as (process, url):
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(requests.get(f"{url}/delay/2", timeout=10).status_code))
        asking.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        assert process.wait(timeout=10) == 0


def test_a_panic_ends_the_container_and_not_only_the_worker() -> None:
    with greeter(FAULTS_ENABLED="true") as (process, url):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/panic", timeout=5)
        assert process.wait(timeout=10) == 3


def test_a_wrong_setting_is_refused_at_start_in_one_line() -> None:
    done = subprocess.run(
        COMMAND, cwd=GREETER, env=environ(FAIL_RATE="lots"), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "greeter: FAIL_RATE must be a number from 0 to 1, not 'lots' (default: 0.02)\n"
    assert not done.stdout
