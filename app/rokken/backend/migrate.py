# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply the migrations. Several replicas may start this at the same time; the database lets one do it at a time."""

from __future__ import annotations

import logging
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from .database import UNAVAILABLE, DatabaseError, connect, explain, make_engine
from .settings import Settings

SCRIPTS = Path(__file__).with_name("migrations")
# Any number that no other application in this database uses
LOCK = 0x726F6B6B656E

log = logging.getLogger("rokken.migrate")


def _current(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or "none"


def _upgrade(connection: Connection, scripts: Path) -> tuple[str, str]:
    """Apply all new migrations in the transaction of this connection. Return the revisions before and after."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    before = _current(connection)
    if before not in known | {"none"}:
        # An older version of the backend runs again. It must not undo the migrations of the newer one.
        log.warning("the schema is newer than this version", extra={"fields": {"revision": before}})
        return before, before
    try:
        command.upgrade(config, "head")
    except SQLAlchemyError as error:
        said = " ".join(str(getattr(error, "orig", error)).split())
        raise DatabaseError(
            "migration",
            f"a migration after revision {before} failed and was rolled back: {said}; correct the migration or the data"
            f" that it complains about",
            UNAVAILABLE,
        ) from None
    return before, _current(connection)


def migrate(settings: Settings, scripts: Path = SCRIPTS) -> tuple[str, str]:
    """Wait for the database and apply the migrations that it lacks. Return the revisions before and after."""
    # A migration may take longer than a request, so only waiting for the lock is limited.
    engine = make_engine(settings, 1, 0)
    reported: set[str] = set()

    def report(problem: DatabaseError) -> None:
        if str(problem) not in reported:
            reported.add(str(problem))
            log.warning("waiting for the database", extra={"fields": {"reason": str(problem)}})

    try:
        with connect(engine, settings, settings.migration_wait_sec, report=report) as connection, connection.begin():
            # One transaction holds the lock and all migrations: it ends in one step, also when this process dies.
            wait = round(settings.migration_wait_sec * 1000) or 1
            connection.execute(text(f"SET LOCAL lock_timeout = {wait}"))
            try:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            except SQLAlchemyError as error:
                if getattr(getattr(error, "orig", None), "sqlstate", None) != "55P03":
                    raise
                raise DatabaseError(
                    "migration",
                    f"another process has been migrating the database {settings.name} at {settings.address} for more"
                    f" than {settings.migration_wait_sec:g} s; look for it in pg_stat_activity",
                    UNAVAILABLE,
                ) from None
            return _upgrade(connection, scripts)
    except SQLAlchemyError as error:
        raise explain(error, settings) from None
    finally:
        engine.dispose()
