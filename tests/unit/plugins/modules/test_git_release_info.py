# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git."""

from __future__ import annotations

import typing as t

import pytest

Runner = t.Callable[..., dict[str, t.Any]]
STAGING = {"environment": "staging", "workload": "greeter"}


@pytest.fixture
def seeded(git_module: Runner, tmp_path: t.Any) -> str:
    revision: str = git_module("git_seed", source=str(tmp_path / "deploy"), prefix="deploy")["revision"]
    return revision


def test_releases_and_their_history_are_read(git_module: Runner, seeded: str) -> None:
    release = {**STAGING, "revision": seeded}
    written = git_module(
        "git_release", releases=[release], commit_message="Promote", author="Ada", email="ada@example.com"
    )
    git_module("git_note", commit=written["commit"], text="healthy")
    found = git_module("git_release_info", history_of=STAGING)
    assert (found["head"], found["releases"]) == (written["commit"], {"staging/greeter": seeded})
    (entry,) = found["history"]
    assert (entry["author"], entry["subject"], entry["health"]) == ("Ada", "Promote", "healthy")
    assert (entry["commit"], entry["revision"], found["earlier"]) == (written["commit"], seeded, None)


def test_an_empty_repository_has_no_releases(git_module: Runner) -> None:
    found = git_module("git_release_info", history_of=STAGING)
    assert (found["head"], found["releases"], found["history"], found["earlier"]) == (None, {}, [], None)
