# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures of the tests of modules."""

from __future__ import annotations

import subprocess
import typing as t
from pathlib import Path

import pytest


@pytest.fixture
def git_module(tmp_path: Path, run_module: t.Callable[..., t.Any]) -> t.Callable[..., dict[str, t.Any]]:
    """Return a function that runs a module on an empty repository, and a directory with content for it."""
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "server"], check=True)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "a.yaml").write_text("a: 1\n")

    def run(name: str, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        arguments = {"repository": str(tmp_path / "server"), **params}
        result: dict[str, t.Any] = run_module(name, arguments, check=check).result
        return result

    return run
