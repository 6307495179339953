# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module as Ansible runs it: a process of its own and real git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t
from pathlib import Path

import pytest

_RUN = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module("ansible_collections.drystone.platform.plugins.modules." + sys.argv[1])
with patch_module_args(json.load(sys.stdin)):
    module.main()
"""
Runner = t.Callable[..., dict[str, t.Any]]


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "server"], check=True)
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "a.yaml").write_text("a: 1\n")

    def run_module(name: str, *, check: bool = False, **params: t.Any) -> dict[str, t.Any]:
        arguments = {"repository": str(tmp_path / "server"), "_ansible_check_mode": check, "_ansible_diff": True}
        done = subprocess.run(
            [sys.executable, "-c", _RUN, name],
            input=json.dumps({**arguments, **params}),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert done.stdout, done.stderr
        result: dict[str, t.Any] = json.loads(done.stdout)
        return result

    return run_module


def test_seed_says_what_it_would_do_then_does_it_once(run: Runner, tmp_path: Path) -> None:
    seed = {"source": str(tmp_path / "deploy"), "prefix": "deploy"}
    checked = run("git_seed", check=True, **seed)
    done = run("git_seed", **seed)
    again = run("git_seed", **seed)
    assert checked["changed"]
    assert checked["diff"]["after"]["paths"] == done["diff"]["after"]["paths"] == ["A deploy/a.yaml"]
    assert done["diff"]["after"]["head"] == done["revision"] == again["revision"]
    assert not again["changed"]


def test_failure_is_told_in_a_sentence(run: Runner, tmp_path: Path) -> None:
    failed = run("git_seed", repository=str(tmp_path / "missing"), source=str(tmp_path / "deploy"), prefix="deploy")
    assert failed["failed"]
    assert "Reading branch main of" in failed["msg"]
