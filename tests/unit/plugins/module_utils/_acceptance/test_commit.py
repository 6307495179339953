# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line is appended by one commit and removed by the next one, whatever others push."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.commit import pushed_line
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput
from tests.unit.bare_repository import Server

LINE = "<!-- drystone-acceptance 1 -->"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    made = Server(tmp_path)
    made.commit({"index.html": "<p>one</p>\n<p>two</p>\n", "other.txt": "other\n"})
    return made


def test_a_line_is_pushed_and_taken_back(server: Server) -> None:
    change = pushed_line(server.remote, "index.html", LINE, "Change the page")
    assert server.head() == change.commit
    assert server.file("index.html") == f"<p>one</p>\n<p>two</p>\n{LINE}"
    assert server.git("log", "-1", "--format=%s") == "Change the page"
    change.undo()
    assert server.git("log", "-1", "--format=%s") == "Revert: Change the page"
    assert server.git("diff", "--stat", "main~2", "main") == ""


def test_commits_of_others_stay(server: Server) -> None:
    change = pushed_line(server.remote, "index.html", LINE, "Change the page")
    server.commit({"other.txt": "changed\n", "index.html": f"<p>three</p>\n{LINE}\n"})
    change.undo()
    assert (server.file("index.html"), server.file("other.txt")) == ("<p>three</p>", "changed")


def test_the_line_of_a_killed_run_is_removed_first(server: Server) -> None:
    pushed_line(server.remote, "index.html", "<!-- drystone-acceptance 0 -->", "Killed")
    pushed_line(server.remote, "index.html", LINE, "Change the page")
    assert server.file("index.html") == f"<p>one</p>\n<p>two</p>\n{LINE}"


def test_taking_back_twice_makes_no_commit(server: Server) -> None:
    change = pushed_line(server.remote, "index.html", LINE, "Change the page")
    change.undo()
    head = server.head()
    change.undo()
    assert server.head() == head


def test_a_line_without_the_mark_is_refused(server: Server) -> None:
    head = server.head()
    with pytest.raises(InvalidInput, match="does not contain drystone-acceptance"):
        pushed_line(server.remote, "index.html", "<!-- mine -->", "Change the page")
    assert server.head() == head


@pytest.mark.parametrize("path", ["missing.html", "folder/index.html"])
def test_a_missing_file_is_refused(server: Server, path: str) -> None:
    with pytest.raises(InvalidInput, match="has no such file"):
        pushed_line(server.remote, path, LINE, "Change the page")


def test_an_empty_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="branch main does not exist"):
        pushed_line(Server(tmp_path).remote, "index.html", LINE, "Change the page")
