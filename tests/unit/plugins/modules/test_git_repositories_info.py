# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real login shell of the Git server lists its repositories through a fake ssh."""

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule

ROOT = Path(__file__).resolve().parents[4]
SESSION = ROOT / "bundle/images/git-server/git-session"


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """Create repositories of a server, and a fake ssh on PATH that logs in to it."""
    folder = tmp_path / "srv"
    for name in ("platform.git", "site-content.git"):
        (folder / name).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(
        f'#!/bin/sh\necho "$*" >>"{tmp_path}/ssh.log"\n'
        f'[ ! -e "{tmp_path}/says" ] || {{ cat "{tmp_path}/says" >&2; exit 255; }}\n'
        f'for last; do :; done\nexport GIT_SERVER_ROOT="{folder}" SSH_ORIGINAL_COMMAND="$last"\n'
        f'exec sh "{SESSION}" -c "$(cat "{tmp_path}/forced")"\n'
    )
    ssh.chmod(0o755)
    (tmp_path / "forced").write_text("read-write")
    for name in ("key", "known_hosts"):
        (tmp_path / name).write_text("x\n")
    return folder


@pytest.fixture
def read(
    served: Path, tmp_path: Path, run_module: RunModule, monkeypatch: pytest.MonkeyPatch
) -> t.Callable[..., ModuleRun]:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    arguments = {
        "server": "ssh://git@127.0.0.1:2222/srv/git",
        "private_key": str(tmp_path / "key"),
        "known_hosts": str(tmp_path / "known_hosts"),
        "connect_timeout": 0,
    }
    return lambda **options: run_module("git_repositories_info", {**arguments, **options})


def test_every_repository_is_listed_with_our_key_alone(read: t.Callable[..., ModuleRun], tmp_path: Path) -> None:
    done = read()
    assert (done.code, done.result["repositories"]) == (0, ["platform", "site-content"])
    used = (tmp_path / "ssh.log").read_text()
    for option in ("-F /dev/null", "IdentitiesOnly=yes", f'IdentityFile="{tmp_path}/key"', "-p 2222 -- git@127.0.0.1"):
        assert option in used


def test_a_server_without_a_repository_has_none(read: t.Callable[..., ModuleRun], served: Path) -> None:
    for path in served.iterdir():
        path.rmdir()
    assert read().result["repositories"] == []


def test_a_key_that_may_read_only_is_refused(read: t.Callable[..., ModuleRun], tmp_path: Path) -> None:
    (tmp_path / "forced").write_text("read-only platform")
    done = read()
    assert done.code == 1
    assert "Listing the repositories of ssh://git@127.0.0.1:2222/srv/git" in done.result["msg"]
    assert "This key may only read" in done.result["msg"]


@pytest.mark.parametrize(
    ("says", "hint"),
    [
        ("Only Git commands are served here.", "older version, which cannot list them. Run `make up` once"),
        ("ssh: connect to host 127.0.0.1 port 2222: Connection refused", "Check that the Git server runs"),
        ("Host key verification failed.", "host key is not in"),
    ],
)
def test_a_failure_says_what_to_do(read: t.Callable[..., ModuleRun], tmp_path: Path, says: str, hint: str) -> None:
    (tmp_path / "says").write_text(f"{says}\n")
    assert hint in read().result["msg"]


def test_only_an_ssh_server_can_be_asked(read: t.Callable[..., ModuleRun]) -> None:
    assert "the URL must have the scheme ssh://" in read(server="https://git.example.org/").result["msg"]


def test_a_missing_key_is_named(read: t.Callable[..., ModuleRun], tmp_path: Path) -> None:
    (tmp_path / "key").unlink()
    assert "does not exist" in read().result["msg"]
