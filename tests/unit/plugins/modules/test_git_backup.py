# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

Runner = t.Callable[..., dict[str, t.Any]]


def test_backup_writes_what_seed_restores(git_module: Runner, tmp_path: Path) -> None:
    seed = {"source": str(tmp_path / "deploy"), "prefix": "deploy", "bundle": str(tmp_path / "bundle")}
    revision = git_module("git_seed", **seed)["revision"]
    assert git_module("git_backup", path=str(tmp_path / "bundle"))["action"] == "written"
    assert not git_module("git_backup", path=str(tmp_path / "bundle"))["changed"]
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "next"], check=True)
    restored = git_module("git_seed", **{**seed, "repository": str(tmp_path / "next")})
    assert (restored["action"], restored["revision"]) == ("restored", revision)


def test_what_is_kept_is_named(git_module: Runner, tmp_path: Path) -> None:
    revision = git_module("git_seed", source=str(tmp_path / "deploy"))["revision"]
    predicted = git_module("git_backup", path=str(tmp_path / "bundle"), check=True)
    done = git_module("git_backup", path=str(tmp_path / "bundle"))
    assert predicted == done
    assert done["refs"] == {"refs/heads/main": revision}
    assert done["diff"] == {"before": {"refs": {}}, "after": {"refs": done["refs"]}}


def test_failure_is_told_in_a_sentence(git_module: Runner, tmp_path: Path) -> None:
    failed = git_module("git_backup", repository=str(tmp_path / "missing"), path=str(tmp_path / "bundle"))
    assert failed["failed"]
    assert "Listing the refs of" in failed["msg"]
