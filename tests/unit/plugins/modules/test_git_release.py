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


def test_a_release_is_written_once(git_module: Runner, seeded: str) -> None:
    release = {**STAGING, "revision": seeded, "expected": ""}
    written = git_module(
        "git_release", releases=[release], commit_message="Promote", author="Ada", email="ada@example.com"
    )
    assert (written["changed"], written["head"], written["pushed_branch"]) == (True, seeded, "main")
    assert written["previous"] == {"staging/greeter": None}
    again = git_module("git_release", releases=[release], commit_message="Promote")
    assert (again["changed"], again["commit"], again["pushed_branch"]) == (False, None, None)


def test_check_mode_changes_nothing(git_module: Runner, seeded: str) -> None:
    predicted = git_module(
        "git_release", releases=[{**STAGING, "revision": seeded}], commit_message="Promote", check=True
    )
    assert (predicted["changed"], predicted["commit"]) == (True, None)
    assert git_module("git_release_info")["head"] == seeded


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ({**STAGING, "revision": "main"}, "not in the history"),
        ({**STAGING, "revision": "f" * 40}, "not in the history"),
        ({**STAGING, "workload": "../dev", "revision": ""}, "cannot be the workload"),
    ],
)
def test_bad_input_is_refused(git_module: Runner, seeded: str, release: dict[str, str], said: str) -> None:
    failed = git_module("git_release", releases=[release], commit_message="Promote")
    assert failed["failed"]
    assert said in failed["msg"]
