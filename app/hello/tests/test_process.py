# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hello as the container runs it: a real gunicorn process that curl asks, its signals, exit codes and output."""

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

HELLO = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py"]
TOKEN = "T1&eWbYXNWG1w1^YGKDPxAWJ@^et^&kX"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environ(**settings: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {**inherited, "AUTH_TOKEN": TOKEN, **settings}


@contextmanager
def hello(**settings: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run hello until the test is done with it, from the moment it answers."""
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        COMMAND,
        cwd=HELLO,
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


def curl(url: str, *arguments: str) -> tuple[int, str]:
    """Return the status and the body of what curl gets."""
    command = ["curl", "--silent", "--show-error", "--write-out", "%{http_code}", *arguments, f"{url}/app"]
    output = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    return int(output[-3:]), output[:-3]


@pytest.mark.parametrize("token", [TOKEN, "a b", "Grüße €", "'\"$(x)`{{ y }}\\n"])
def test_curl_gets_the_answer_with_the_token_of_the_environment(token: str) -> None:
    with hello(AUTH_TOKEN=token) as (process, url):
        assert curl(url, "--header", f"X-Auth-Token: {token}", "--header", "Host: example.com") == (
            200,
            "Hello World\n",
        )
        refusal = (401, "The header X-Auth-Token is missing or wrong.\n")
        assert curl(url) == refusal
        assert curl(url, "--header", f"X-Auth-Token: {token}x") == refusal
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert token not in output
    assert json.dumps(token)[1:-1] not in output


def test_serves_and_ends_with_zero_and_only_json_on_sigterm() -> None:
    with hello() as (process, url):
        assert requests.get(f"{url}/app", headers={"X-Auth-Token": TOKEN}, timeout=5).text == "Hello World\n"
        assert requests.get(f"{url}/readyz", timeout=5).status_code == 200
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
        assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert {line["path"] for line in lines if line["logger"] == "hello.access"} == {"/app"}
    assert [line["faults_enabled"] for line in lines if line["message"] == "started"] == [False]


def test_a_request_in_flight_is_answered_after_sigterm() -> None:
    with hello(FAULTS_ENABLED="true") as (process, url):
        answers: list[int] = []
        asking = threading.Thread(target=lambda: answers.append(requests.get(f"{url}/delay/2", timeout=10).status_code))
        asking.start()
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert answers == [200]
        assert process.wait(timeout=10) == 0


def test_a_panic_ends_the_container_and_not_only_the_worker() -> None:
    with hello(FAULTS_ENABLED="true") as (process, url):
        with pytest.raises(requests.ConnectionError):
            requests.get(f"{url}/panic", timeout=5)
        assert process.wait(timeout=10) == 3


@pytest.mark.parametrize("token", ["", "one\ntwo"])
def test_a_wrong_token_in_the_environment_is_refused_at_start_in_one_line(token: str) -> None:
    done = subprocess.run(
        COMMAND, cwd=HELLO, env=environ(AUTH_TOKEN=token), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "hello: AUTH_TOKEN must be one line of printable text without spaces at its ends"
        " (in Kubernetes: a key of a Secret)\n"
    )
    assert not done.stdout
