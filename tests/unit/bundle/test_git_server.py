# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The access rules of the Git server image. Fakes that print their arguments replace Git."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

IMAGE = Path(__file__).resolve().parents[3] / "bundle/images/git-server"
READ = "git-upload-pack '/srv/git/site-content.git'"
WRITE = "git-receive-pack '/srv/git/site-content.git'"
REFS = "/site-content.git/info/refs"


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Create a directory with a git and a git-shell that print their arguments."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("git", "git-shell"):
        (folder / name).write_text(f'#!/bin/sh\nprintf "ran {name}"\nprintf " %s" "$@"\nenv >"{tmp_path}/env"\n')
        (folder / name).chmod(0o755)
    return folder


class Session:
    """Log in with a key that has the given forced command, as sshd runs it."""

    def __init__(self, commands: Path) -> None:
        self.commands = commands
        self.root = commands

    def __call__(self, forced: str, command: str | None) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{self.commands}:{os.environ['PATH']}", "GIT_SERVER_ROOT": str(self.root)}
        if command is not None:
            env["SSH_ORIGINAL_COMMAND"] = command
        script = [str(IMAGE / "git-session"), "-c", forced]
        return subprocess.run(script, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def session(commands: Path) -> Session:
    return Session(commands)


@pytest.mark.parametrize(
    ("forced", "command"),
    [
        ("read-only site-content", READ),
        ("read-write", READ),
        ("read-write", WRITE),
        ("read-write", "git-receive-pack '/srv/git/platform.git'"),
    ],
)
def test_what_a_key_may_do_is_handed_to_git(session: Session, forced: str, command: str) -> None:
    done = session(forced, command)
    assert (done.returncode, done.stdout) == (0, f"ran git-shell -c {command}")


@pytest.mark.parametrize(
    "command",
    [
        "git-upload-pack '/srv/git/platform.git'",
        "git-upload-pack '/srv/git/site-content.git/../platform.git'",
        "git-upload-pack '/srv/git/site-content'",
        "git-upload-pack '/srv/git/site-content.git' '/srv/git/platform.git'",
        "git-upload-pack '/srv/git/site-content.git'; id",
        "git-upload-pack --upload-pack=id '/srv/git/site-content.git'",
        "git-upload-pack ''",
    ],
)
def test_a_reader_s_key_is_for_one_repository(session: Session, command: str) -> None:
    done = session("read-only site-content", command)
    assert (done.returncode, done.stdout) == (128, "")
    assert done.stderr == "This key may only read the repository /srv/git/site-content.git.\n"


def test_a_reader_s_key_cannot_write(session: Session) -> None:
    done = session("read-only site-content", WRITE)
    assert (done.returncode, done.stdout, done.stderr) == (128, "", "This key may only read.\n")


@pytest.mark.parametrize("forced", ["read-only site-content", "read-write"])
@pytest.mark.parametrize(
    "command", ["id", "sh", "", None, "git-upload-archive '/srv/git/site-content.git'", "git-shell"]
)
def test_a_key_gets_no_shell(session: Session, forced: str, command: str | None) -> None:
    done = session(forced, command)
    assert (done.returncode, done.stdout, done.stderr) == (128, "", "Only Git commands are served here.\n")


def test_the_operator_s_key_lists_the_repositories(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "srv").mkdir()
    session.root = tmp_path / "srv"
    assert (
        session("read-write", "list-repositories").returncode,
        session("read-write", "list-repositories").stdout,
    ) == (0, "")
    for name in ("platform.git", "site content.git", "lost+found"):
        (tmp_path / "srv" / name).mkdir()
    (tmp_path / "srv" / "file.git").touch()
    done = session("read-write", "list-repositories")
    assert (done.returncode, done.stdout, done.stderr) == (0, "platform\nsite content\n", "")
    done = session("read-only platform", "list-repositories")
    assert (done.returncode, done.stdout, done.stderr) == (128, "", "This key may only read.\n")


@pytest.mark.parametrize("forced", ["", "read-only", "read-only ", "read-write site-content", "id", "read-writes"])
def test_a_forced_command_that_says_nothing_allows_nothing(session: Session, forced: str) -> None:
    assert session(forced, READ).returncode == 128


class Web:
    """Send a request to the CGI program as lighttpd runs it."""

    def __init__(self, commands: Path, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.readers = folder / "readers"
        lines = [("dev.site", "site-content", "old"), ("dev.site", "site-content", "new"), ("dev.app", "app", "other")]
        self.readers.write_text(
            "".join(f"{user} {name} {hashlib.sha256(token.encode()).hexdigest()}\n" for user, name, token in lines)
        )
        self.log = ""

    def __call__(
        self, path: str, query: str = "", method: str = "GET", who: str | None = "dev.site:new", scheme: str = "Basic"
    ) -> tuple[str, str]:
        env = {
            "PATH": f"{self.commands}:{os.environ['PATH']}",
            "GIT_SERVER_READERS": str(self.readers),
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REMOTE_ADDR": "10.0.0.7",
        }
        if who is not None:
            env["HTTP_AUTHORIZATION"] = f"{scheme} {base64.b64encode(who.encode()).decode()}"
        done = subprocess.run([str(IMAGE / "git-https")], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        self.log = done.stderr
        if done.stdout.startswith("ran "):
            return "200", done.stdout
        head, _empty, body = done.stdout.partition("\n\n")
        return head.split()[1], body

    def environment(self) -> str:
        return (self.folder / "env").read_text()


@pytest.fixture
def web(commands: Path, tmp_path: Path) -> Web:
    return Web(commands, tmp_path)


@pytest.mark.parametrize("token", ["old", "new"])
@pytest.mark.parametrize(
    ("method", "path", "query"),
    [("GET", REFS, "service=git-upload-pack"), ("POST", "/site-content.git/git-upload-pack", "")],
)
def test_a_reader_fetches_with_each_of_its_tokens(web: Web, method: str, path: str, query: str, token: str) -> None:
    status, body = web(path, query, method, who=f"dev.site:{token}")
    assert (status, body) == ("200", "ran git -c http.receivepack=false http-backend")
    assert "REMOTE_USER=dev.site\n" in web.environment()
    assert "HTTP_AUTHORIZATION" not in web.environment()


def test_the_log_tells_which_token_is_in_use_and_not_the_token(web: Web) -> None:
    web(REFS, "service=git-upload-pack")
    digest = hashlib.sha256(b"new").hexdigest()
    assert web.log == f"dev.site reads site-content from 10.0.0.7 with sha256:{digest[:12]}\n"


@pytest.mark.parametrize(
    "who",
    [
        None,
        "dev.site:wrong",
        "dev.site:",
        "dev.site",
        ":new",
        "devxsite:new",
        "dev.app:new",
        "dev.site site-content:new",
        "*:*",
        "\ndev.site:new",
    ],
)
def test_who_has_no_token_of_that_name_is_asked_for_one(web: Web, who: str | None) -> None:
    assert web(REFS, "service=git-upload-pack", who=who) == ("401", "No reader of that name has this token.\n")


def test_only_basic_authentication_is_understood(web: Web) -> None:
    assert web(REFS, "service=git-upload-pack", scheme="Bearer")[0] == "401"
    assert web(REFS, "service=git-upload-pack", scheme="basic")[0] == "200"


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (REFS, "service=git-receive-pack"),
        ("/site-content.git/git-receive-pack", ""),
        (REFS, "service=git-receive-pack&x"),
    ],
)
def test_nothing_is_written_over_https(web: Web, path: str, query: str) -> None:
    assert web(path, query, "POST" if not query else "GET") == ("403", "Repositories are only read over HTTPS.\n")


@pytest.mark.parametrize("name", ["app", "platform", "missing"])
def test_a_token_is_for_one_repository(web: Web, name: str) -> None:
    status, body = web(f"/{name}.git/info/refs", "service=git-upload-pack")
    assert (status, body) == ("403", f"This token may not read {name}.git.\n")


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/site-content.git/HEAD", ""),
        ("/site-content.git/objects/info/packs", ""),
        (REFS, ""),
        ("/site-content.git/../app.git/info/refs", "service=git-upload-pack"),
        ("/site-content/info/refs", "service=git-upload-pack"),
        ("//site-content.git/info/refs", "service=git-upload-pack"),
        ("/", ""),
        ("", ""),
    ],
)
def test_nothing_else_is_served(web: Web, path: str, query: str) -> None:
    assert web(path, query)[0] in {"403", "404"}


def test_health_is_told_to_everybody_and_nothing_more(web: Web) -> None:
    assert web("/healthz", who=None) == ("200", "ok\n")
    assert web("/healthz", "x", who=None)[0] == "401"


def test_without_a_list_of_readers_nobody_gets_in(web: Web) -> None:
    web.readers.unlink()
    assert web(REFS, "service=git-upload-pack")[0] == "401"


def test_the_entrypoint_makes_each_repository_with_its_rules(tmp_path: Path) -> None:
    script = (IMAGE / "entrypoint").read_text().replace("/srv/git", str(tmp_path)).replace("/usr/sbin/sshd", "true")
    for _again in range(2):
        done = subprocess.run(
            ["sh", "-c", script, "entrypoint", "platform", "scratch=force-push"],
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def setting(repository: str, name: str) -> str:
        command = ["git", "config", "--file", str(tmp_path / f"{repository}.git/config"), name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    names = ("receive.denyDeletes", "receive.denyDeleteCurrent", "receive.denyNonFastForwards", "receive.fsckObjects")
    assert [setting("platform", name) for name in names] == ["true", "refuse", "true", "true"]
    assert [setting("scratch", name) for name in names] == ["false", "ignore", "false", "true"]
    assert {setting(name, "uploadpack.allowAnySHA1InWant") for name in ("platform", "scratch")} == {"true"}
