# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it, with real git."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def seeded(git_module: Runner, tmp_path: Path) -> str:
    for name in ("dev/greeter", "dev/my site/deep", "staging/greeter"):
        (tmp_path / "deploy/environments" / name).mkdir(parents=True)
        (tmp_path / "deploy/environments" / name / "kustomization.yaml").write_text(name)
    (tmp_path / "deploy/environments/README.md").write_text("no folder")
    revision: str = git_module("git_seed", source=str(tmp_path / "deploy"), prefix="deploy")["revision"]
    return revision


@pytest.mark.parametrize(
    ("path", "depth", "folders"),
    [
        ("deploy/environments", 2, ["dev/greeter", "dev/my site", "staging/greeter"]),
        ("/deploy/environments/", 1, ["dev", "staging"]),
        ("deploy", 1, ["environments"]),
        ("nothing", 1, []),
    ],
)
def test_folders_of_that_depth_are_listed(
    git_module: Runner, seeded: str, path: str, depth: int, folders: list[str]
) -> None:
    found = git_module("git_folders_info", path=path, depth=depth)
    assert (found["revision"], found["folders"], found["changed"]) == (seeded, folders, False)


def test_an_empty_repository_has_no_revision(git_module: Runner) -> None:
    found = git_module("git_folders_info", path="deploy")
    assert (found["revision"], found["folders"]) == (None, [])


def test_a_missing_repository_is_named(git_module: Runner, tmp_path: Path) -> None:
    found = git_module("git_folders_info", path="deploy", repository=str(tmp_path / "missing"))
    assert "Reading branch main of" in found["msg"]
