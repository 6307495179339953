# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the scripts of the database do with a volume, with the programs of an installed PostgreSQL."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from app.rokken.tests.postgres import find_program, free_port, unprivileged

DATABASE = Path(__file__).parents[1] / "database"


class Volume:
    """An empty volume, a password, and the entrypoint in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "volume"
        self.data.mkdir()
        self.password = folder / "password"
        for name in ("database", "entrypoint", "pg_hba.conf"):
            shutil.copy(DATABASE / name, folder)
        self.port = free_port()
        self.set_password("first's one")

    def set_password(self, password: str) -> None:
        self.password.write_text(password)
        self.password.chmod(0o644)

    def own(self) -> None:
        """Give everything to the user of the entrypoint."""
        if found := unprivileged():
            subprocess.run(["chown", "-R", f"{found['user']}:{found['group']}", str(self.folder)], check=True)

    def environ(self, **settings: str) -> dict[str, str]:
        return {
            "PATH": f"{Path(find_program('initdb')).parent}:{os.environ['PATH']}",
            "DATABASE_VOLUME": str(self.data),
            "DATABASE_HBA_FILE": str(self.folder / "pg_hba.conf"),
            "DATABASE_PASSWORD_FILE": str(self.password),
            **settings,
        }

    def command(self) -> list[str]:
        settings = [f"port={self.port}", f"unix_socket_directories={self.folder}", "shared_buffers=16MB"]
        return [str(self.folder / "entrypoint"), *(part for setting in settings for part in ("-c", setting))]

    def refuse(self, **settings: str) -> str:
        """Run an entrypoint that must fail, and return its error."""
        self.own()
        done = subprocess.run(
            self.command(),
            env=self.environ(**settings),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **unprivileged(),
        )
        assert done.returncode == 1
        error: str = done.stderr
        return error

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """Run the database until the test is done with it."""
        self.own()
        options: dict[str, Any] = unprivileged()
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(self.command(), env=self.environ(), stdout=log, stderr=log, text=True, **options)
        ready = [find_program("pg_isready"), "--quiet", "--host=127.0.0.1", f"--port={self.port}"]
        try:
            deadline = time.monotonic() + 120
            while subprocess.run(ready, check=False).returncode != 0:
                assert process.poll() is None, self.log()
                assert time.monotonic() < deadline, "the database does not answer"
                time.sleep(0.1)
            yield process
        finally:
            process.send_signal(2)
            process.wait(timeout=60)
        assert process.returncode == 0, self.log()

    def tool(self, command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run the script `database` beside the server."""
        env = {**self.environ(), "PGHOST": str(self.folder), "PGPORT": str(self.port)}
        return subprocess.run(
            [str(self.folder / "database"), command], input=given, env=env, capture_output=True, check=False
        )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def connect(
        self, password: str, user: str = "rokken", dbname: str = "rokken"
    ) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, password=password, user=user, dbname=dbname, autocommit=True
        )


@pytest.fixture
def volume() -> Iterator[Volume]:
    with tempfile.TemporaryDirectory(prefix="rokken-volume-") as folder:
        Path(folder).chmod(0o755)
        yield Volume(Path(folder))


def test_an_empty_volume_becomes_a_database_for_the_application_alone(volume: Volume) -> None:
    # A start that was interrupted leaves half a cluster, which must not be used.
    (volume.data / "cluster.new").mkdir()
    with volume.running():
        with volume.connect("first's one") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS number")
            rights = connection.execute(
                "SELECT rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = 'rokken'"
            )
            assert rights.fetchall() == [(False, False, False)]
            assert connection.execute("SHOW data_checksums").fetchall() == [("on",)]
        for user in ("rokken", "postgres"):
            with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry|authentication failed"):
                volume.connect("first's one", user=user, dbname="postgres")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            volume.connect("wrong")
    volume.set_password("second one\n")
    with volume.running(), volume.connect("second one") as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(1,)]
    assert "first's one" not in volume.log()
    assert "second one" not in volume.log()


def test_a_volume_of_another_major_version_is_refused_and_not_touched(volume: Volume) -> None:
    cluster = volume.data / "cluster"
    cluster.mkdir()
    (cluster / "PG_VERSION").write_text("9.6\n")
    error = volume.refuse()
    assert error.startswith("postgresql: the volume has data of PostgreSQL 9.6, and this is PostgreSQL ")
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


def test_a_folder_that_is_no_cluster_is_refused(volume: Volume) -> None:
    (volume.data / "cluster").mkdir()
    assert volume.refuse().endswith(
        f"{volume.data}/cluster is not a cluster of PostgreSQL: it has no file PG_VERSION\n"
    )


@pytest.mark.parametrize(
    ("password", "settings", "message"),
    [
        ("x", {"DATABASE_NAME": "a b"}, "DATABASE_NAME must consist of a-z, 0-9 and _, not 'a b'"),
        ("x", {"DATABASE_PASSWORD_FILE": ""}, "DATABASE_PASSWORD_FILE must be set"),
        (
            "x",
            {"DATABASE_PASSWORD_FILE": "/nowhere"},
            "cannot read the password from DATABASE_PASSWORD_FILE /nowhere",
        ),
        ("", {}, "DATABASE_PASSWORD_FILE {password} must contain one line, the password"),
        ("a\nb", {}, "DATABASE_PASSWORD_FILE {password} must contain one line, the password"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_made(
    volume: Volume, password: str, settings: dict[str, str], message: str
) -> None:
    volume.set_password(password)
    assert volume.refuse(**settings) == f"postgresql: {message.format(password=volume.password)}\n"
    assert list(volume.data.iterdir()) == []


def test_a_volume_of_another_user_is_refused(volume: Volume) -> None:
    volume.data.chmod(0o555)
    error = volume.refuse()
    assert "may not write to the volume" in error
    assert "set fsGroup" in error


def test_a_backup_is_restored_and_the_previous_database_is_kept(volume: Volume) -> None:
    # In its container the administrator is the user of the process; here the test is another user.
    (volume.folder / "pg_hba.conf").write_text("local all all trust\nhost sameuser all all scram-sha-256\n")
    with volume.running():
        with volume.connect("first's one") as connection:
            connection.execute("CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY, name text)")
            connection.execute("INSERT INTO items (name) SELECT 'old ' || n FROM generate_series(1, 1000) n")
        saved = volume.tool("backup")
        assert (saved.returncode, saved.stderr) == (0, b"")
        assert volume.tool("check", saved.stdout).returncode == 0
        client = volume.connect("first's one")
        client.execute("TRUNCATE items")
        client.execute("INSERT INTO items (name) VALUES ('new')")

        cut = saved.stdout[: len(saved.stdout) // 2]
        for command, error in (
            ("check", b"database: this is not a complete backup; nothing was changed\n"),
            ("restore", b"database: the backup cannot be restored; the database rokken was not changed\n"),
        ):
            for wrong in (cut, b"", b"text"):
                refused = volume.tool(command, wrong)
                assert refused.returncode == 1
                assert refused.stderr.endswith(error)
        assert client.execute("SELECT name FROM items").fetchall() == [("new",)]

        restored = volume.tool("restore", saved.stdout)
        assert (restored.returncode, restored.stderr) == (0, b"")
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
        with volume.connect("first's one") as connection:
            assert connection.execute("SELECT count(*) FROM items").fetchall() == [(1000,)]
            # The application owns what was restored, and numbers continue.
            connection.execute("INSERT INTO items (name) VALUES ('next')")
            assert connection.execute("SELECT max(id) FROM items").fetchall() == [(1001,)]
        (previous,) = [word for word in restored.stdout.decode().split() if word.startswith("rokken_")][:1]
        administrator = psycopg.connect(
            host=str(volume.folder), port=volume.port, user="postgres", dbname=previous.rstrip("."), autocommit=True
        )
        with administrator:
            assert administrator.execute("SELECT name FROM items").fetchall() == [("new",)]
            names = administrator.execute("SELECT datname FROM pg_database WHERE datname ~ 'rokken' ORDER BY 1")
            assert names.fetchall() == [("rokken",), (previous.rstrip("."),)]
