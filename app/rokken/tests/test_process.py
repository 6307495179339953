# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backend as the container runs it: its commands, signals, exit codes and output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from app.rokken.tests.postgres import PASSWORD, PostgresServer, free_port
from app.rokken.tests.serving import Client

ROKKEN = Path(__file__).parents[1]


def environ(server: PostgresServer, folder: Path, **settings: str) -> dict[str, str]:
    (folder / "password").write_text(f"{PASSWORD}\n")
    inherited = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return {
        **inherited,
        "PYTHONPATH": str(ROKKEN),
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": str(server.port),
        "DATABASE_PASSWORD_FILE": str(folder / "password"),
        **settings,
    }


def run(command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backend", command], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@contextmanager
def started(env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], Client]]:
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "backend"],
        env={**env, "BIND": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    client = Client(f"http://{address}")
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                client.request("GET", "/healthz")
                break
            except requests.ConnectionError:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline, "the backend does not answer"
                time.sleep(0.05)
        yield process, client
    finally:
        process.kill()
        process.communicate()


def test_it_migrates_serves_and_ends_with_zero_and_only_json_on_sigterm(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    env = environ(own_server, tmp_path)
    migrated = run("migrate", env)
    assert (migrated.returncode, migrated.stderr) == (0, "")
    (line,) = [json.loads(line) for line in migrated.stdout.splitlines()]
    assert line.items() >= {"message": "migrated", "from": "none", "to": "0001"}.items()
    with started(env) as (process, client):
        client.create("A private name")
        assert client.request("GET", "/readyz").text == "ready\n"
        assert client.request("GET", "/api/items?token=of-a-user").status_code == 200
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["path"] for line in lines if line["logger"] == "rokken.access"] == ["/api/items"] * 2
    assert [line["message"] for line in lines if line["logger"] == "rokken"] == ["started", "ready", "stopped"]
    for private in (PASSWORD, "A private name", "of-a-user"):
        assert private not in output


def test_a_request_in_flight_is_answered_after_sigterm(own_server: PostgresServer, tmp_path: Path) -> None:
    env = environ(own_server, tmp_path, STATEMENT_TIMEOUT_SEC="30")
    assert run("migrate", env).returncode == 0
    with started(env) as (process, client), own_server.connect() as blocker, ThreadPoolExecutor() as pool:
        with blocker.transaction():
            blocker.execute("LOCK TABLE items IN SHARE MODE")
            waiting = pool.submit(client.create)
            while not own_server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
        assert waiting.result()["id"] == 1
        process.communicate(timeout=30)
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"DATABASE_HOST": ""}, "DATABASE_HOST must be set"),
        ({"DATABASE_PASSWORD_FILE": ""}, "DATABASE_PASSWORD_FILE must be set"),
        (
            {"DATABASE_PASSWORD_FILE": "/nowhere"},
            "cannot read the password from DATABASE_PASSWORD_FILE /nowhere: No such file or directory",
        ),
        ({"DATABASE_PORT": "x"}, "DATABASE_PORT must be a whole number from 1 to 65535, not 'x' (default: 5432)"),
        ({"POOL_SIZE": "0"}, "POOL_SIZE must be a whole number from 1 to 1000, not '0' (default: 10)"),
        ({"RETRY_SEC": "nan"}, "RETRY_SEC must be a number from 0 to 60, not 'nan' (default: 5)"),
        ({"BIND": "8000"}, "BIND must be ADDRESS:PORT, not '8000'"),
    ],
)
def test_a_wrong_setting_is_refused_at_start_in_one_line(
    server: PostgresServer, tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    done = run("serve", environ(server, tmp_path, **settings))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"rokken: cannot start: {message}\n")


@pytest.mark.parametrize("content", ["", "\n", "one\ntwo\n"])
def test_a_password_file_without_one_line_is_refused(server: PostgresServer, tmp_path: Path, content: str) -> None:
    env = environ(server, tmp_path)
    (tmp_path / "password").write_text(content)
    done = run("serve", env)
    assert done.stderr == (
        f"rokken: cannot start: DATABASE_PASSWORD_FILE {tmp_path}/password must contain one line, the password\n"
    )


def test_a_failed_migration_ends_with_one_line(server: PostgresServer, tmp_path: Path) -> None:
    env = environ(server, tmp_path)
    (tmp_path / "password").write_text("Wr0ng-password")
    done = run("migrate", env)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"rokken: cannot migrate the database: the database rokken at 127.0.0.1:{server.port} refuses the user rokken:"
        f" compare the password in {tmp_path}/password with that of the role, and the permitted users in pg_hba.conf\n"
    )
