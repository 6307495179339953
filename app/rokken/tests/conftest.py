# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of Rokken's tests: one PostgreSQL server for all, with an empty table for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.rokken.backend.migrate import migrate
from app.rokken.tests.postgres import PostgresServer
from app.rokken.tests.serving import Client, serving, settings_for


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    started = PostgresServer()
    yield started
    started.remove()


@pytest.fixture(scope="session")
def backend(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = settings_for(server, tmp_path_factory.mktemp("backend"))
    migrate(settings)
    with serving(settings) as client:
        yield client


@pytest.fixture
def client(backend: Client, server: PostgresServer) -> Client:
    server.execute("TRUNCATE items RESTART IDENTITY")
    return backend


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop and fill as it likes."""
    started = PostgresServer()
    yield started
    started.remove()
