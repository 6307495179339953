# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations: once for all replicas, in one transaction, and with one exact error."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app.rokken.backend.database import DatabaseError, connect, make_engine
from app.rokken.backend.migrate import LOCK, SCRIPTS, migrate
from app.rokken.backend.models import Base
from app.rokken.backend.settings import Settings
from app.rokken.tests.postgres import PostgresServer
from app.rokken.tests.serving import settings_for

SLOW = """
from alembic import op
revision, down_revision = "0002", "0001"
def upgrade():
    op.execute("INSERT INTO items (name) VALUES ('migrated')")
    op.execute("SELECT pg_sleep(0.3)")
"""
BROKEN = """
from alembic import op
revision, down_revision = "0003", "0002"
def upgrade():
    op.execute("INSERT INTO items (name) VALUES ('')")
"""


@pytest.fixture
def empty(server: PostgresServer, tmp_path: Path) -> Iterator[Settings]:
    server.execute("CREATE DATABASE migrating")
    yield settings_for(server, tmp_path, name="migrating", migration_wait_sec=20)
    server.execute("DROP DATABASE migrating WITH (FORCE)")


def scripts_with(folder: Path, **more: str) -> Path:
    copied = folder / "migrations"
    shutil.copytree(SCRIPTS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in more.items():
        (copied / "versions" / f"{name}.py").write_text(text)
    return copied


def test_the_migrations_create_the_tables_of_the_models(empty: Settings) -> None:
    assert migrate(empty) == ("none", "0001")
    assert migrate(empty) == ("0001", "0001")
    engine = make_engine(empty, 1, 5)
    with connect(engine, empty, 1) as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_replicas_that_start_together_migrate_once(empty: Settings, server: PostgresServer, tmp_path: Path) -> None:
    scripts = scripts_with(tmp_path, slow=SLOW)
    with ThreadPoolExecutor(6) as pool:
        done = [run.result() for run in [pool.submit(migrate, empty, scripts) for _ in range(6)]]
    assert sorted(done) == [("0002", "0002")] * 5 + [("none", "0002")]
    assert server.execute("SELECT name FROM items", "migrating") == [("migrated",)]


def test_a_failing_migration_changes_nothing_and_says_what_failed(
    empty: Settings, server: PostgresServer, tmp_path: Path
) -> None:
    migrate(empty)
    with pytest.raises(DatabaseError) as caught:
        migrate(empty, scripts_with(tmp_path, slow=SLOW, broken=BROKEN))
    assert str(caught.value).startswith(
        "a migration after revision 0001 failed and was rolled back: new row for relation"
        ' "items" violates check constraint "items_name_not_empty"'
    )
    assert str(caught.value).endswith("correct the migration or the data that it complains about")
    assert server.execute("SELECT count(*) FROM items", "migrating") == [(0,)]
    assert migrate(empty) == ("0001", "0001")


def test_an_older_version_leaves_the_schema_of_a_newer_one(empty: Settings, tmp_path: Path) -> None:
    migrate(empty, scripts_with(tmp_path, slow=SLOW))
    assert migrate(empty) == ("0002", "0002")


def test_a_lock_that_is_never_released_ends_the_wait(empty: Settings, server: PostgresServer, tmp_path: Path) -> None:
    impatient = settings_for(server, tmp_path, name=empty.name, migration_wait_sec=0.2)
    with server.connect(empty.name) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        with pytest.raises(DatabaseError, match=r"another process has been migrating .* for more than 0.2 s"):
            migrate(impatient)
    assert migrate(empty) == ("none", "0001")


def test_a_migration_waits_for_a_database_that_starts_later(own_server: PostgresServer, tmp_path: Path) -> None:
    settings = settings_for(own_server, tmp_path, migration_wait_sec=30)
    own_server.stop()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(migrate, settings)
        own_server.start()
        assert waiting.result() == ("none", "0001")
