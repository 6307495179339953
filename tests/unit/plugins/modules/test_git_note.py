# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git."""

from __future__ import annotations

import typing as t

import pytest

Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def seeded(git_module: Runner, tmp_path: t.Any) -> str:
    revision: str = git_module("git_seed", source=str(tmp_path / "deploy"), prefix="deploy")["revision"]
    return revision


def test_a_note_is_added_once_and_not_in_check_mode(git_module: Runner, seeded: str) -> None:
    assert git_module("git_note", commit=seeded, text="healthy", check=True)["changed"]
    done = [git_module("git_note", commit=seeded, text="healthy") for _run in range(2)]
    assert [one["changed"] for one in done] == [True, False]
    assert done[1]["msg"] == f'Commit {seeded[:12]} already has the note "healthy".'


def test_an_unknown_commit_is_named(git_module: Runner, seeded: str) -> None:
    assert "does not have it" in git_module("git_note", commit="f" * 40, text="healthy")["msg"]
