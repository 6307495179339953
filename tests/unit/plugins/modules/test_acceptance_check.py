# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule
    from tests.unit.fake_api import FakeApi

ROW = {"id": "C3", "title": "Nodes", "steps": [{"say": "Read the nodes", "objects": {"kind": "Node"}}]}
SLOW = {"id": "G2", "title": "A push", "slow": True, "steps": [{"say": "Read", "objects": {"kind": "Node"}}]}


@pytest.fixture
def check(fake_api: FakeApi, tmp_path: Path, run_module: RunModule) -> t.Callable[..., ModuleRun]:
    kubeconfig = fake_api.kubeconfig(tmp_path / "kubeconfig")
    fake_api.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}})

    def run(*, check: bool = False, **options: t.Any) -> ModuleRun:
        return run_module("acceptance_check", {"kubeconfig": kubeconfig, **options}, check=check)

    return run


def test_rows_are_returned_and_a_failure_is_no_error(check: t.Callable[..., ModuleRun]) -> None:
    bad = {"id": "C4", "title": "Pods", "steps": [{"say": "Read the pods", "objects": {"kind": "Pod"}}]}
    done = check(rows=[bad, ROW])
    assert done.code == 0, done.output
    assert done.result["failed_rows"] == ["C4"]
    assert [row["result"] for row in done.result["rows"]] == ["fails", "holds"]
    assert done.result["changed"] is False


def test_slow_rows_never_run_in_check_mode(check: t.Callable[..., ModuleRun]) -> None:
    results = [check(rows=[SLOW], slow=True, check=mode).result["rows"][0]["result"] for mode in (False, True)]
    assert results == ["holds", "skipped"]


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"say": "Nothing"}, "one of the following is required"),
        ({"say": "Two", "objects": {"kind": "Node"}, "picture": {"url": "http://a"}}, "mutually exclusive"),
        ({"say": "Unknown", "picture": {"url": "http://a"}, "pictures": 1}, "Unsupported parameters"),
    ],
)
def test_a_step_has_exactly_one_kind(check: t.Callable[..., ModuleRun], step: dict[str, t.Any], problem: str) -> None:
    done = check(rows=[{"id": "C3", "title": "Nodes", "steps": [step]}])
    assert done.code != 0
    assert problem in done.result["msg"]
