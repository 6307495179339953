# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access with credentials, immediate use of new credentials, and confidentiality."""

from __future__ import annotations

import os

import pytest

from tests.unit.standins.git_sync.world import GitOverHttp, World, wait_for

# --- HTTP ---


def test_a_password_from_a_file(world: World, over_http: GitOverHttp) -> None:
    for text in ("right", "right\n"):
        password = world.write("password", text)
        flags = (f"--repo={over_http.url}", "--username=reader", f"--password-file={password}")
        done = world.once(*flags, "--verbose=9")
        assert done.status == 0, done.log
        assert world.text() == "first"
        assert "right" not in done.log


@pytest.mark.parametrize(
    ("username", "text", "why"),
    [
        ("reader", "wrong-password", "Authentication failed"),
        ("stranger", "right", "Authentication failed"),
        ("reader", "", "must have exactly one line, which is not empty; it has 0"),
        ("reader", "wrong-\npassword\n", "must have exactly one line, which is not empty; it has 2"),
        ("reader", "\nwrong-password\n", "must have exactly one line, which is not empty; it has 2"),
    ],
)
def test_a_wrong_password(world: World, over_http: GitOverHttp, username: str, text: str, why: str) -> None:
    password = world.write("password", text)
    done = world.once(f"--repo={over_http.url}", f"--username={username}", f"--password-file={password}", "-v", "9")
    assert done.status == 1
    assert why in done.log
    assert "wrong-" not in done.log
    assert not world.link.is_symlink()


def test_without_a_password_nobody_is_asked(world: World, over_http: GitOverHttp) -> None:
    done = world.once(f"--repo={over_http.url}")
    assert done.status == 1
    assert "terminal prompts disabled" in done.log


def test_a_password_file_that_is_not_there(world: World, over_http: GitOverHttp) -> None:
    flags = (f"--repo={over_http.url}", "--username=reader", "--password-file=/nonexistent/password")
    done = world.once(*flags)
    assert done.status == 1
    assert "can't read the password file" in done.log
    assert over_http.asked == 0


def test_a_password_is_read_again_for_each_sync(world: World, over_http: GitOverHttp) -> None:
    password = world.write("password", "right")
    error = world.folder / "error.json"
    running = world.synced(
        f"--repo={over_http.url}", "--username=reader", f"--password-file={password}", f"--error-file={error}"
    )
    over_http.password = "changed-password"
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') > 0)
    assert "Authentication failed" in running.log()
    assert (world.text(), running.ready()) == ("first", True)
    password.write_text("changed-password\n")
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()
    # A credential that is removed from the server has no effect here either, because no copy is kept.
    over_http.password = "changed again"
    assert wait_for(error.exists)
    for place in (running.log(), error.read_text()):
        assert "right" not in place
        assert "changed-password" not in place


def test_a_password_of_any_characters(world: World, over_http: GitOverHttp) -> None:
    over_http.password = """a 'b' "c" $(d) `e` \\n%s ü;#"""
    password = world.write("password", over_http.password)
    done = world.once(f"--repo={over_http.url}", "--username=reader", f"--password-file={password}")
    assert done.status == 0, done.log


def test_a_password_is_for_its_host_alone(world: World, over_http: GitOverHttp) -> None:
    """Git gets no password for another host, neither by a rewritten URL nor by a redirect."""
    password = world.write("password", "right")
    other = over_http.url.replace("127.0.0.1", "localhost")
    config = f'"url.{other}.insteadOf":"{over_http.url}"'
    flags = (f"--repo={over_http.url}", "--username=reader", f"--password-file={password}", f"--git-config={config}")
    done = world.once(*flags)
    assert done.status == 1
    assert "could not read Username for 'http://localhost" in done.log


def test_a_password_is_in_no_environment_and_no_command_line(world: World, over_http: GitOverHttp) -> None:
    password = world.write("password", "right")
    real = os.environ["PATH"]
    folder = world.folder
    world.program(
        "git",
        f'#!/bin/sh\n{{ env; echo "$@"; }} >>{folder}/seen\nPATH="{world.bin}:{real}" exec /usr/bin/env -u X '
        f'PATH="{real}" git "$@"\n',
    )
    done = world.once(f"--repo={over_http.url}", "--username=reader", f"--password-file={password}")
    assert done.status == 0, done.log
    seen = (folder / "seen").read_text()
    assert str(password) in seen
    assert "right" not in seen


# --- SSH ---


@pytest.mark.parametrize(
    "form", ["ssh://git@git.example{path}", "ssh://git@git.example:2222{path}", "git@git.example:{path}"]
)
def test_a_key(world: World, form: str) -> None:
    ssh = world.fake_ssh()
    repo = form.format(path=world.remote.path)
    flags = (f"--repo={repo}", f"--ssh-key-file={ssh / 'key'}", f"--ssh-known-hosts-file={ssh / 'known_hosts'}")
    done = world.once(*flags)
    assert done.status == 0, done.log
    assert world.text() == "first"
    call = (ssh / "calls").read_text().splitlines()[0]
    assert call.startswith(f"-F none -i {ssh}/key -o BatchMode=yes -o IdentitiesOnly=yes ")
    assert f"-o StrictHostKeyChecking=yes -o UserKnownHostsFile={ssh}/known_hosts " in call


def test_one_of_several_keys(world: World) -> None:
    ssh = world.fake_ssh()
    other = world.write("other key", "key 2\n")
    repo = f"--repo=ssh://git@git.example{world.remote.path}"
    known = f"--ssh-known-hosts-file={ssh / 'known_hosts'}"
    assert world.once(repo, known, f"--ssh-key-file={other}").status == 1
    assert world.once(repo, known, f"--ssh-key-file={other}", f"--ssh-key-file={ssh / 'key'}").status == 0


def test_a_key_is_read_again_for_each_sync(world: World) -> None:
    ssh = world.fake_ssh()
    known = f"--ssh-known-hosts-file={ssh / 'known_hosts'}"
    repo = f"--repo=ssh://git@git.example{world.remote.path}"
    running = world.synced(repo, known, f"--ssh-key-file={ssh / 'key'}")
    (ssh / "authorized").write_text("key 2\n")
    assert wait_for(lambda: running.metric('git_sync_count_total{status="error"}') > 0)
    assert "git@git.example: Permission denied (publickey)." in running.log()
    assert (world.text(), running.ready()) == ("first", True)
    (ssh / "key").write_text("key 2\n")
    commit = world.remote.commit("second")
    assert wait_for(lambda: world.published() == commit), running.log()


def test_another_host_key_is_refused(world: World) -> None:
    ssh = world.fake_ssh()
    (ssh / "known_hosts").write_text("another.example ssh-ed25519 AAAA\n")
    flags = (f"--repo=ssh://git@git.example{world.remote.path}", f"--ssh-key-file={ssh / 'key'}")
    for file in (ssh / "known_hosts", ssh / "nonexistent"):
        done = world.once(*flags, f"--ssh-known-hosts-file={file}")
        assert done.status == 1
        assert "Host key verification failed." in done.log
    done = world.once(*flags, "--ssh-known-hosts=false")
    assert done.status == 0, done.log


def test_a_full_commit_over_ssh(world: World) -> None:
    ssh = world.fake_ssh()
    wanted = world.remote.commit("second")
    world.remote.commit("third")
    flags = (f"--ssh-key-file={ssh / 'key'}", f"--ssh-known-hosts-file={ssh / 'known_hosts'}")
    done = world.once(f"--repo=ssh://git@git.example{world.remote.path}", f"--ref={wanted}", *flags)
    assert done.status == 0, done.log
    assert world.published() == wanted
    assert world.git(str(world.link), "rev-list", "--count", "HEAD") == "1"


def test_nothing_of_the_environment_s_ssh(world: World) -> None:
    ssh = world.fake_ssh()
    world.program("ssh", (world.bin / "ssh").read_text().replace("keys= ", f"env >>{ssh}/seen\nkeys= "))
    flags = (f"--ssh-key-file={ssh / 'key'}", f"--ssh-known-hosts-file={ssh / 'known_hosts'}")
    done = world.once(
        f"--repo=ssh://git@git.example{world.remote.path}", *flags, SSH_AUTH_SOCK="/agent", SSH_ASKPASS="/ask"
    )
    assert done.status == 0, done.log
    seen = (ssh / "seen").read_text()
    assert "GIT_TERMINAL_PROMPT=0" in seen
    assert "SSH_A" not in seen
