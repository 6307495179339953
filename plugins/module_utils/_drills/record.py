# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a drill: what it did, when, and whether its fault may still be there. PRIVATE to the collection.

The record is written before the fault, so a record in the state running means that the fault must be undone.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import typing as t
from datetime import UTC, datetime

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, Refused

RUNNING, ENDED = "running", "ended"
PASSED, FAILED, INTERRUPTED = "passed", "failed", "interrupted"
BEGIN, FAULT, SYMPTOM, REMEDY, RECOVERY = "begin", "fault", "symptom", "remedy", "recovery"
STEP, FAILURE, END = "step", "failure", "end"
EVENTS = (BEGIN, FAULT, SYMPTOM, REMEDY, RECOVERY, STEP, FAILURE, END)

Record = dict[str, t.Any]
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def path_of(directory: str, name: str) -> str:
    """Return the file of a drill's record."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} cannot be the name of a drill: a name has lowercase letters, digits and _.")
    return os.path.join(directory, f"{name}.json")


def read(path: str) -> Record | None:
    """Return the record in a file, or None if there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            found: Record = json.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"Reading the record of a drill in {path}: {error}. Delete it if no drill runs and the platform is healthy."
        ) from error
    return found


def write(path: str, record: Record) -> None:
    """Replace a record atomically and durably."""
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".drill-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(record, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def after(record: Record | None, name: str, event: str, now: datetime, **said: t.Any) -> Record:
    """Return the record after an event. said has what, seen and, for the first event, undo."""
    if event == BEGIN:
        return _begun(record, name, now, said.get("undo") or {})
    if record is None or record["state"] != RUNNING:
        raise Refused(f"Recording {event} of the drill {name}: this drill has not begun.")
    steps = record["steps"]
    steps = [
        *steps,
        {"event": event, **_times(record, now), "what": said.get("what", ""), "seen": said.get("seen", "")},
    ]
    new = {**record, "steps": steps}
    new["symptom_seconds"] = _between(steps, FAULT, SYMPTOM)
    new["recovery_seconds"] = _between(steps, REMEDY, RECOVERY)
    if event == END:
        new |= {"state": ENDED, "end": _text(now), "result": _result(steps)}
    return new


def _begun(record: Record | None, name: str, now: datetime, undo: dict[str, t.Any]) -> Record:
    if record is not None and record["state"] == RUNNING:
        raise Refused(
            f"Beginning the drill {name}: it already runs since {record['start']}, or it was interrupted. If it was "
            "interrupted, undo its fault with playbooks/drills/restore.yml."
        )
    return {
        "name": name,
        "start": _text(now),
        "end": None,
        "state": RUNNING,
        "result": None,
        "symptom_seconds": None,
        "recovery_seconds": None,
        "undo": undo,
        "steps": [],
    }


def _result(steps: list[dict[str, t.Any]]) -> str:
    events = {step["event"] for step in steps}
    if FAILURE in events:
        return FAILED
    return PASSED if RECOVERY in events else INTERRUPTED


def _between(steps: list[dict[str, t.Any]], first: str, last: str) -> float | None:
    """Return the seconds from the first event of one kind to the last of another."""
    starts = [step["at"] for step in steps if step["event"] == first]
    ends = [step["at"] for step in steps if step["event"] == last]
    return _seconds(starts[0], ends[-1]) if starts and ends else None


def _times(record: Record, now: datetime) -> dict[str, t.Any]:
    before = record["steps"][-1]["at"] if record["steps"] else record["start"]
    return {"at": _text(now), "seconds": _seconds(before, _text(now))}


def _seconds(start: str, end: str) -> float:
    return round((_moment(end) - _moment(start)).total_seconds(), 1)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
