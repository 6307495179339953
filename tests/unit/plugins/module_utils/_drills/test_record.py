# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a drill."""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._drills.record import after, path_of, read, write
from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, Refused

START = datetime(2026, 11, 30, 12, 0, 0, tzinfo=UTC)


def drill(*events: tuple[str, float], **said: t.Any) -> dict[str, t.Any]:
    """Return the record of a drill with these events, each this many seconds after the start."""
    record = after(None, "node_lost", "begin", START, **said)
    for event, seconds in events:
        record = after(record, "node_lost", event, START + timedelta(seconds=seconds), what=f"Do {event}")
    return record


def test_the_seconds_of_steps_symptom_and_recovery_are_measured() -> None:
    record = drill(("fault", 1), ("symptom", 41.25), ("symptom", 51), ("remedy", 52), ("recovery", 60.5), ("end", 70))
    assert [step["seconds"] for step in record["steps"]] == [1.0, 40.2, 9.8, 1.0, 8.5, 9.5]
    assert (record["symptom_seconds"], record["recovery_seconds"]) == (50.0, 8.5)
    assert (record["start"], record["end"]) == ("2026-11-30T12:00:00.000Z", "2026-11-30T12:01:10.000Z")
    assert (record["state"], record["result"]) == ("ended", "passed")


@pytest.mark.parametrize(
    ("events", "result"),
    [
        (["fault", "recovery"], "passed"),
        (["fault", "recovery", "failure"], "failed"),
        (["fault", "symptom"], "interrupted"),
        ([], "interrupted"),
    ],
)
def test_only_a_drill_that_saw_the_recovery_and_no_failure_has_passed(events: list[str], result: str) -> None:
    assert drill(*((event, 1) for event in [*events, "end"]))["result"] == result


def test_a_drill_that_did_not_end_is_not_begun_again() -> None:
    running = drill(("fault", 1), undo={"node": "worker"})
    assert (running["state"], running["undo"]) == ("running", {"node": "worker"})
    with pytest.raises(Refused, match="or it was interrupted"):
        after(running, "node_lost", "begin", START)
    assert after(drill(("end", 1)), "node_lost", "begin", START)["steps"] == []


@pytest.mark.parametrize("record", [None, drill(("end", 1))])
def test_an_event_needs_a_drill_that_has_begun(record: dict[str, t.Any] | None) -> None:
    with pytest.raises(Refused, match="has not begun"):
        after(record, "node_lost", "fault", START)


def test_a_record_is_written_and_read(tmp_path: Path) -> None:
    path = path_of(str(tmp_path / "drills"), "node_lost")
    assert read(path) is None
    write(path, drill())
    assert read(path) == drill()
    assert [one.name for one in (tmp_path / "drills").iterdir()] == ["node_lost.json"]


def test_a_broken_record_and_a_name_that_is_a_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(InvalidInput, match="Delete it"):
        read(str(tmp_path / "a.json"))
    with pytest.raises(InvalidInput, match="name of a drill"):
        path_of("/x", "../y")
