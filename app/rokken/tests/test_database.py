# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens when the database is slow, full, unreachable, restarted, or refuses the password."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.rokken.backend.database import DatabaseError, connect, explain, make_engine
from app.rokken.backend.migrate import migrate
from app.rokken.backend.settings import Settings
from app.rokken.tests.postgres import PASSWORD, PostgresServer, free_port
from app.rokken.tests.serving import serving, settings_for

UNAVAILABLE = {"detail": "The database is not available. Try again in a moment."}


def test_a_backend_without_a_database_lives_and_is_not_ready(own_server: PostgresServer, tmp_path: Path) -> None:
    settings = settings_for(own_server, tmp_path)
    migrate(settings)
    own_server.stop()
    with serving(settings) as client:
        assert client.request("GET", "/healthz").status_code == 200
        readiness = client.request("GET", "/readyz")
        assert readiness.status_code == 503
        assert readiness.text.startswith(
            f"not ready: cannot reach the database rokken at 127.0.0.1:{own_server.port}: connection failed:"
        )
        assert "check that it runs, and that a NetworkPolicy allows the connection" in readiness.text
        response = client.request("GET", "/api/items")
        assert (response.status_code, response.json()) == (503, UNAVAILABLE)
        assert response.headers["Retry-After"] == "2"
        assert client.sample("rokken_database_errors_total", reason="unreachable") == 1
        assert client.sample("rokken_ready") == 0
        own_server.start()
        assert client.request("GET", "/readyz").status_code == 200
        assert client.create()["id"] == 1
        assert client.sample("rokken_ready") == 1


def test_a_request_waits_for_a_database_that_restarts(own_server: PostgresServer, tmp_path: Path) -> None:
    settings = settings_for(own_server, tmp_path, retry_sec=30)
    migrate(settings)
    with serving(settings) as client:
        client.create("before")
        own_server.stop("immediate")
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(client.create, "during")
            own_server.start()
            assert waiting.result(timeout=40)["name"] == "during"
        names = [item["name"] for item in client.request("GET", "/api/items").json()["items"]]
        assert names == ["during", "before"]


def test_no_acknowledged_item_is_lost_when_the_database_crashes_under_load(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    settings = settings_for(own_server, tmp_path, retry_sec=10)
    migrate(settings)
    acknowledged: list[str] = []
    done = threading.Event()

    def write(worker: int) -> None:
        number = 0
        while not done.is_set():
            number += 1
            name = f"{worker}-{number}"
            response = client.request("POST", "/api/items", json={"name": name})
            assert response.status_code in (201, 503), response.text
            if response.status_code == 201:
                acknowledged.append(name)

    with serving(settings) as client, ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, worker) for worker in range(4)]
        for _ in range(3):
            seen = len(acknowledged)
            while len(acknowledged) < seen + 20:
                assert not any(writer.done() for writer in writers), [writer.exception(0) for writer in writers]
                done.wait(0.05)
            own_server.stop("immediate")
            own_server.start()
        done.set()
        for writer in writers:
            writer.result()
    stored = {name for (name,) in own_server.execute("SELECT name FROM items")}
    assert len(acknowledged) >= 60
    assert set(acknowledged) - stored == set()


def test_a_refused_password_is_named_and_never_shown(
    server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(server, tmp_path, password="Wr0ng-password", retry_sec=30)
    caplog.set_level(logging.DEBUG)
    expected = (
        f"the database rokken at 127.0.0.1:{server.port} refuses the user rokken: compare the password in"
        f" {settings.password_file} with that of the role, and the permitted users in pg_hba.conf"
    )
    with serving(settings) as client:
        assert client.request("GET", "/readyz").text == f"not ready: {expected}\n"
        response = client.request("GET", "/api/items")
        assert (response.status_code, response.json()) == (503, UNAVAILABLE)
        # A changed Secret needs no restart.
        settings.password_file.write_text(PASSWORD)
        assert client.request("GET", "/readyz").status_code == 200
        settings.password_file.unlink()
        assert client.request("GET", "/healthz").status_code == 200
    with pytest.raises(DatabaseError) as caught:
        migrate(settings_for(server, tmp_path, password="Wr0ng-password"))
    assert str(caught.value) == expected
    shown = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "Wr0ng-password" not in shown
    assert PASSWORD not in shown


def test_a_database_without_tables_is_not_ready(server: PostgresServer, tmp_path: Path) -> None:
    server.execute("CREATE DATABASE empty")
    with serving(settings_for(server, tmp_path, name="empty")) as client:
        assert "lacks a table: run the migrations" in client.request("GET", "/readyz").text
        assert client.request("GET", "/api/items").json() == UNAVAILABLE


def test_a_database_that_does_not_exist_is_named(server: PostgresServer, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"the database nowhere at .* does not exist: create it, or correct"):
        migrate(settings_for(server, tmp_path, name="nowhere"))


def test_a_slow_statement_ends_and_changes_nothing(own_server: PostgresServer, tmp_path: Path) -> None:
    settings = settings_for(own_server, tmp_path, statement_timeout_sec=0.3)
    migrate(settings)
    with serving(settings) as client, own_server.connect() as blocker:
        client.create("before")
        with blocker.transaction():
            blocker.execute("LOCK TABLE items")
            response = client.request("PUT", "/api/items/1", json={"name": "after"})
            assert response.status_code == 503
            assert response.json()["detail"] == "The database did not answer in time. Nothing was changed."
        assert client.request("GET", "/api/items/1").json()["name"] == "before"


def test_a_used_up_pool_refuses_requests_but_the_replica_stays_ready(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    settings = settings_for(own_server, tmp_path, pool_size=1, statement_timeout_sec=20)
    migrate(settings)
    with serving(settings) as client, own_server.connect() as blocker, ThreadPoolExecutor() as pool:
        with blocker.transaction():
            blocker.execute("LOCK TABLE items IN SHARE MODE")
            waiting = pool.submit(client.create)
            while not own_server.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                pass
            response = client.request("GET", "/api/items")
            assert response.status_code == 503
            assert response.json()["detail"] == "The service is busy. Try again in a moment."
            assert client.request("GET", "/readyz").status_code == 200
            assert client.request("GET", "/healthz").status_code == 200
        assert waiting.result()["id"] == 1


def test_a_connection_lost_before_the_commit_says_that_the_outcome_is_unknown(
    own_server: PostgresServer, tmp_path: Path
) -> None:
    settings = settings_for(own_server, tmp_path)
    engine = make_engine(settings, 1, 5)
    with connect(engine, settings, 1) as connection:
        connection.exec_driver_sql("SELECT 1")
        own_server.stop("immediate")
        with pytest.raises(OperationalError) as caught:
            connection.commit()
    assert explain(caught.value, settings).reason in ("lost", "unreachable")
    engine.dispose()


@pytest.mark.parametrize(
    ("error", "reason", "said"),
    [
        (psycopg.errors.DiskFull("no space left"), "full", "the volume of the database rokken at db:5432 is full"),
        (psycopg.errors.ReadOnlySqlTransaction("no"), "read-only", "the database rokken at db:5432 is read-only"),
        (psycopg.errors.AdminShutdown("terminating"), "unreachable", "cannot reach the database rokken at db:5432"),
        (psycopg.errors.DivisionByZero("zero"), "failed", "reported SQLSTATE 22012: zero"),
        (psycopg.OperationalError("server closed the connection"), "lost", "was lost: server closed the connection"),
        (PoolTimeout("full"), "busy", "all 10 connections to the database rokken at db:5432 are in use"),
    ],
)
def test_each_problem_has_one_message(error: Exception, reason: str, said: str) -> None:
    problem = explain(error, Settings(host="db", password_file=Path("/password")))
    assert problem.reason == reason
    assert said in str(problem)
    assert "db:5432" not in problem.public


def test_retries_have_growing_pauses_and_an_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("x")
    settings = Settings(host="127.0.0.1", port=free_port(), password_file=tmp_path / "password")
    now, pauses, told = [0.0], list[float](), list[str]()

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    engine = make_engine(settings, 1, 5)
    with pytest.raises(DatabaseError, match="cannot reach the database"):
        connect(
            engine, settings, 5, clock=lambda: now[0], sleep=sleep, report=lambda problem: told.append(problem.reason)
        )
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert told == ["unreachable"] * 7
