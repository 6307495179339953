# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line is appended by one commit and removed by the next one, whatever others push."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.commit import Taken, push_line
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Git
from tests.unit.bare_repository import Server

LINE = "<!-- drystone-acceptance 1 -->"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.commit({"index.html": "<p>one</p>\n<p>two</p>\n", "other.txt": "other\n"})
    return made


def push(server: Server, undo: ExitStack, line: str = LINE, path: str = "index.html") -> str:
    return push_line(server.remote, path, line, "Change the page", undo)


def test_a_line_is_pushed_and_taken_back(server: Server) -> None:
    with ExitStack() as undo:
        assert push(server, undo) == server.head()
        assert server.file("index.html") == f"<p>one</p>\n<p>two</p>\n{LINE}"
        assert server.git("log", "-1", "--format=%s") == "Change the page"
    assert server.git("log", "-1", "--format=%s") == "Revert: Change the page"
    assert server.git("diff", "--stat", "main~2", "main") == ""


def test_commits_of_others_stay(server: Server) -> None:
    with ExitStack() as undo:
        push(server, undo)
        server.commit({"other.txt": "changed\n", "index.html": f"<p>three</p>\n{LINE}\n"})
    assert (server.file("index.html"), server.file("other.txt")) == ("<p>three</p>", "changed")


@pytest.mark.parametrize("line", ["", LINE])
def test_the_line_of_a_killed_run_is_removed_first(server: Server, line: str) -> None:
    push(server, ExitStack().pop_all(), "<!-- drystone-acceptance 0 -->")
    push(server, ExitStack().pop_all(), line)
    assert server.file("index.html") == f"<p>one</p>\n<p>two</p>\n{line}".rstrip()


def test_nothing_left_makes_no_commit(server: Server) -> None:
    head = server.head()
    with ExitStack() as undo:
        assert push(server, undo, "") == head
    assert server.head() == head


def test_a_push_whose_answer_is_lost_is_taken_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Git.push

    def lost(git: Git, commit: str) -> None:
        real(git, commit)
        monkeypatch.setattr(Git, "push", real)
        raise RemoteUnavailable("Pushing: the connection broke.")

    monkeypatch.setattr(Git, "push", lost)
    with pytest.raises(RemoteUnavailable, match="the connection broke"), ExitStack() as undo:
        push(server, undo)
    assert server.file("index.html") == "<p>one</p>\n<p>two</p>"
    assert server.git("log", "-1", "--format=%s") == "Revert: Change the page"


def test_a_line_without_the_mark_is_refused(server: Server) -> None:
    head = server.head()
    with pytest.raises(InvalidInput, match="does not contain drystone-acceptance"), ExitStack() as undo:
        push(server, undo, "<!-- mine -->")
    assert server.head() == head


def test_a_key_that_is_there_already_is_not_written_twice(server: Server) -> None:
    head = server.commit({"values.yaml": "kind: Rollout\nconfig:\n  failRate: 0\n"})
    with pytest.raises(Taken, match="has the key config: already"), ExitStack() as undo:
        push(server, undo, "config: {delaySeconds: 1}  # drystone-acceptance", "values.yaml")
    assert server.head() == head


@pytest.mark.parametrize("path", ["missing.html", "folder/index.html"])
def test_a_missing_file_is_refused(server: Server, path: str) -> None:
    with pytest.raises(InvalidInput, match="has no such file"), ExitStack() as undo:
        push(server, undo, path=path)


@pytest.mark.parametrize("content", [b"one\r\ntwo\r\n", b"caf\xe9\n", b"one\n\n\n", b"one"])
def test_a_file_that_could_not_be_restored_is_not_touched(server: Server, content: bytes) -> None:
    env = {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
    command = ["git", f"--git-dir={server.path}", "hash-object", "-w", "--stdin"]
    blob = subprocess.run(command, input=content, check=True, capture_output=True, env=env).stdout.decode().strip()
    server.commit({"page": "replaced below\n"})
    server.git("read-tree", "main")
    server.git("update-index", "--index-info", text=f"100644 {blob}\tpage\n")
    commit = server.git("commit-tree", server.git("write-tree"), "-p", "main", "-m", "Odd content")
    server.git("update-ref", "refs/heads/main", commit)
    with pytest.raises(InvalidInput, match="is not text in UTF-8 that ends with one line break"), ExitStack() as undo:
        push(server, undo, path="page")
    assert server.head() == commit


def test_an_empty_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="branch main does not exist"), ExitStack() as undo:
        push(Server(tmp_path), undo)
