# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The progress of a build with a fake clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.plugin_utils._build_progress import (
    Progress,
    duration,
    planned_steps,
    read_learned,
    write_learned,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_plan_is_what_a_dry_run_would_say() -> None:
    dry_run = (
        "printf '%(%H:%M:%S)T %s\\n' -1 'compile kind'\n"
        "exec 9>/cache/go.lock && flock 9\n"
        "printf '%(%H:%M:%S)T %s\\n' -1 'image node'\n"
        "echo 'printf'\n"
    )
    assert planned_steps(dry_run) == ["compile kind", "image node"]
    assert planned_steps("") == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (3600, "60 min 0 s")]
)
def test_durations_are_written_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_each_step_is_shown_with_its_number_and_other_lines_are_not(clock: Clock) -> None:
    progress = Progress(["compile kind", "image node"], {}, clock)
    assert progress.line("12:00:00 compile kind") == "[1/2] compile kind"
    assert progress.line("go: downloading example.org v1.0.0") is None
    assert progress.line("12:00:09 image node") == "[2/2] image node"


def test_a_step_that_was_not_planned_makes_the_plan_longer(clock: Clock) -> None:
    progress = Progress(["compile kind"], {}, clock)
    progress.line("12:00:00 compile kind")
    assert progress.line("12:00:01 image node") == "[2/2] image node"


def test_a_step_lasts_until_the_next_one_starts(clock: Clock) -> None:
    progress = Progress(["a", "b"], {}, clock)
    progress.line("12:00:00 a")
    clock.now += 4.25
    progress.line("12:00:04 b")
    clock.now += 2
    assert progress.finish() == pytest.approx(6.25)
    assert progress.done == {"a": 4.2, "b": 2.0}


def test_the_time_left_is_told_once_every_step_to_come_was_seen_before(clock: Clock) -> None:
    progress = Progress(["a", "b", "c"], {"a": 10, "b": 70, "c": 5}, clock)
    assert progress.line("12:00:00 a") == "[1/3] a, about 1 min 25 s left"
    clock.now += 100
    assert progress.line("12:01:40 b") == "[2/3] b, about 1 min 15 s left"
    unknown = Progress(["a", "new"], {"a": 10}, clock)
    assert unknown.line("12:00:00 a") == "[1/2] a"


def test_silence_is_broken_so_that_slow_is_told_from_dead(clock: Clock) -> None:
    progress = Progress(["a"], {"a": 60}, clock)
    clock.now += 50
    assert progress.heartbeat(30) is None
    progress.line("12:00:00 a")
    clock.now += 29
    assert progress.heartbeat(30) is None
    clock.now += 1
    assert progress.heartbeat(30) == "still running a after 30 s, about 30 s left"
    assert progress.heartbeat(30) is None
    clock.now += 45
    assert progress.heartbeat(30) == "still running a after 1 min 15 s, about 0 s left"


def test_what_was_learned_is_kept(tmp_path: Path) -> None:
    path = str(tmp_path / "durations.json")
    write_learned(path, {"compile kind": 7.5})
    assert read_learned(path) == {"compile kind": 7.5}
    assert [file.name for file in tmp_path.iterdir()] == ["durations.json"]


@pytest.mark.parametrize("content", [None, "", "[1, 2]", "{", '{"a": "soon"}'])
def test_what_cannot_be_read_was_not_learned(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "durations.json").write_text(content)
    assert read_learned(str(tmp_path / "durations.json")) == {}
