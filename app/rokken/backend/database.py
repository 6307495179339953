# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the database: a pool, retries, timeouts, and one exact error for each problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from .settings import ConfigError, Settings

FIRST_PAUSE_SEC = 0.1
LONGEST_PAUSE_SEC = 1.0


class DatabaseError(Exception):
    """The database did not do its part. `public` is the message for users, who learn nothing about the database."""

    def __init__(self, reason: str, message: str, public: str, temporary: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.public = public
        # Whether a new connection may help soon
        self.temporary = temporary


UNAVAILABLE = "The database is not available. Try again in a moment."
UNKNOWN_OUTCOME = "The connection to the database was lost. Check whether a change was stored before you repeat it."


def explain(error: Exception, settings: Settings) -> DatabaseError:
    """Convert an error of a driver, of the pool or of the password file into the one that describes the problem."""
    where = f"the database {settings.name} at {settings.address}"
    if isinstance(error, DatabaseError):
        return error
    if isinstance(error, ConfigError):
        return DatabaseError("refused", str(error), UNAVAILABLE)
    if isinstance(error, PoolTimeout):
        return DatabaseError(
            "busy",
            f"all {settings.pool_size} connections to {where} are in use; raise POOL_SIZE, or look for slow queries",
            "The service is busy. Try again in a moment.",
        )
    original = error.orig if isinstance(error, DBAPIError) else error
    state = original.sqlstate if isinstance(original, psycopg.Error) else None
    said = " ".join(str(original).split())
    connecting = isinstance(error, DBAPIError) and error.statement is None and not error.connection_invalidated
    if state in ("28P01", "28000") or "password authentication failed" in said or "no pg_hba.conf entry" in said:
        return DatabaseError(
            "refused",
            f"{where} refuses the user {settings.user}: compare the password in {settings.password_file} with that of"
            f" the role, and the permitted users in pg_hba.conf",
            UNAVAILABLE,
        )
    if state == "3D000" or ("database" in said and "does not exist" in said):
        return DatabaseError("missing", f"{where} does not exist: create it, or correct DATABASE_NAME", UNAVAILABLE)
    if state == "42P01":
        return DatabaseError("schema", f"{where} lacks a table: run the migrations ({said})", UNAVAILABLE)
    if state == "53100":
        return DatabaseError(
            "full",
            f"the volume of {where} is full: enlarge it, or delete data ({said})",
            "The storage of the database is full. Nothing was changed.",
        )
    if state in ("57014", "55P03"):
        return DatabaseError(
            "slow",
            f"{where} did not finish a statement within {settings.statement_timeout_sec:g} s",
            "The database did not answer in time. Nothing was changed.",
        )
    if state == "25006":
        return DatabaseError("read-only", f"{where} is read-only", "The database is read-only. Nothing was changed.")
    if state is None and not connecting:
        return DatabaseError("lost", f"the connection to {where} was lost: {said}", UNKNOWN_OUTCOME)
    if state is None or state.startswith(("08", "57P")) or state == "53300":
        return DatabaseError(
            "unreachable",
            f"cannot reach {where}: {said}; check that it runs, and that a NetworkPolicy allows the connection",
            UNAVAILABLE,
            temporary=True,
        )
    return DatabaseError("failed", f"{where} reported SQLSTATE {state}: {said}", "The database reported an error.")


def connect(
    engine: Engine,
    settings: Settings,
    retry_sec: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    report: Callable[[DatabaseError], None] = lambda problem: None,
) -> Connection:
    """Connect. Retry with growing pauses while the database is unreachable: nothing was sent yet, so this is safe."""
    deadline, pause = clock() + retry_sec, FIRST_PAUSE_SEC
    while True:
        try:
            return engine.connect()
        except (DBAPIError, PoolTimeout, ConfigError) as error:
            problem = explain(error, settings)
            if not problem.temporary or clock() + pause > deadline:
                raise problem from None
        report(problem)
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE_SEC)


def make_engine(settings: Settings, pool_size: int, statement_timeout_sec: float) -> Engine:
    """Make a pool that tests each connection before it uses it and reads the password for each new connection."""
    timeouts = {
        "statement_timeout": round(statement_timeout_sec * 1000),
        "idle_in_transaction_session_timeout": 30_000,
    }
    engine = create_engine(
        URL.create("postgresql+psycopg", settings.user, host=settings.host, port=settings.port, database=settings.name),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=settings.retry_sec,
        pool_pre_ping=True,
        pool_recycle=900,
        hide_parameters=True,
        connect_args={
            "application_name": "rokken",
            "connect_timeout": settings.connect_timeout_sec,
            # Notice a host that disappears without closing its connections.
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": " ".join(f"-c {name}={value}" for name, value in timeouts.items()),
        },
    )

    @event.listens_for(engine, "do_connect")
    def add_password(_dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options["password"] = settings.password()

    return engine


class Database:
    """The pool for requests, and one separate connection that tells whether the database answers."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = make_engine(settings, settings.pool_size, settings.statement_timeout_sec)
        # Requests that use the whole pool must not make this replica unready.
        self._probe = make_engine(settings, 1, 2)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Run one transaction. It is committed when the block ends and rolled back when the block raises."""
        with (
            connect(self.engine, self.settings, self.settings.retry_sec) as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            try:
                yield session
                session.commit()
            except DBAPIError as error:
                raise explain(error, self.settings) from None

    def check(self) -> DatabaseError | None:
        """Ask the database for an answer. Return the problem if there is none."""
        try:
            with self._probe.connect() as connection:
                connection.execute(text("SELECT FROM items LIMIT 1"))
        except (DBAPIError, PoolTimeout, ConfigError) as error:
            return explain(error, self.settings)
        return None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self._probe.dispose()
