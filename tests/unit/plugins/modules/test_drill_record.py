# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import typing as t
from pathlib import Path

import pytest

if t.TYPE_CHECKING:
    from tests.unit.conftest import ModuleRun, RunModule


@pytest.fixture
def record(tmp_path: Path, run_module: RunModule) -> t.Callable[..., ModuleRun]:
    given = {"directory": str(tmp_path / "drills"), "name": "node_lost"}
    return lambda event, check=False, **more: run_module("drill_record", {**given, "event": event, **more}, check=check)


def test_events_are_added_to_the_file(record: t.Callable[..., ModuleRun], tmp_path: Path) -> None:
    record("begin", undo={"node": "worker"})
    done = record("fault", what="Stop the node", seen="worker is stopped")
    assert done.code == 0, done.output
    written = json.loads((tmp_path / "drills/node_lost.json").read_text())
    assert written == done.result["record"]
    (step,) = written["steps"]
    assert (step["event"], step["what"], step["seen"]) == ("fault", "Stop the node", "worker is stopped")
    assert written["undo"] == {"node": "worker"}


def test_check_mode_writes_nothing(record: t.Callable[..., ModuleRun], tmp_path: Path) -> None:
    assert record("begin", check=True).result["record"]["state"] == "running"
    assert not (tmp_path / "drills").exists()


def test_a_drill_that_runs_already_is_refused(record: t.Callable[..., ModuleRun]) -> None:
    record("begin")
    assert "playbooks/drills/restore.yml" in record("begin").result["msg"]
