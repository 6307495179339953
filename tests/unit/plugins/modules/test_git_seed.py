# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git."""

from __future__ import annotations

import typing as t
from pathlib import Path

Runner = t.Callable[..., dict[str, t.Any]]


def test_seed_says_what_it_would_do_then_does_it_once(git_module: Runner, tmp_path: Path) -> None:
    seed = {"source": str(tmp_path / "deploy"), "prefix": "deploy"}
    checked = git_module("git_seed", check=True, **seed)
    done = git_module("git_seed", **seed)
    again = git_module("git_seed", **seed)
    assert checked["changed"]
    assert checked["diff"]["after"]["paths"] == done["diff"]["after"]["paths"] == ["A deploy/a.yaml"]
    assert done["diff"]["after"]["head"] == done["revision"] == again["revision"]
    assert not again["changed"]


def test_failure_is_told_in_a_sentence(git_module: Runner, tmp_path: Path) -> None:
    failed = git_module(
        "git_seed", repository=str(tmp_path / "missing"), source=str(tmp_path / "deploy"), prefix="deploy"
    )
    assert failed["failed"]
    assert "Reading branch main of" in failed["msg"]
