# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of an acceptance test: each proves one requirement by its steps. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from ansible_collections.drystone.platform.plugins.module_utils._acceptance.place import Place
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.seen import Seen
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.steps import KINDS, LOOKING
from ansible_collections.drystone.platform.plugins.module_utils._errors import DrystoneError

Options = t.Mapping[str, t.Any]

# The results of a row. PARTLY: a step needs something that is not available, and what was checked instead holds.
HOLDS, FAILS, PARTLY, ABSENT, SKIPPED = "holds", "fails", "partly", "absent", "skipped"
# Seconds until the platform must be as before when a row has taken back its changes
_RESTORED = 600


def run_rows(
    place: Place, rows: Sequence[Options], *, available: Sequence[str], slow: bool, parallel: int
) -> list[dict[str, t.Any]]:
    """Run all rows and return their results in the given order.

    Rows that only look run in parallel. Slow rows change or load something, so they run afterwards, one at a time.
    """
    quick = [row for row in rows if not row["slow"]]
    with ThreadPoolExecutor(max_workers=max(1, parallel)) as pool:
        results = {
            row["id"]: found for row, found in zip(quick, pool.map(_runner(place, available), quick), strict=True)
        }
    for row in rows:
        if row["slow"]:
            results[row["id"]] = _row(place, row, available) if slow else _told(row, SKIPPED, [], 0.0)
    return [results[row["id"]] for row in rows]


def _runner(place: Place, available: Sequence[str]) -> t.Callable[[Options], dict[str, t.Any]]:
    return lambda row: _row(place, row, available)


def _row(place: Place, row: Options, available: Sequence[str]) -> dict[str, t.Any]:
    missing = [need for need in row["needs"] if need not in available]
    if missing:
        return _told(row, ABSENT, [], 0.0, missing)
    started = place.clock()
    steps: list[dict[str, t.Any]] = []
    with ExitStack() as undo:
        for step in row["steps"]:
            steps.append(_step(place, step, available, undo))
            # The next steps build on this one.
            if steps[-1]["result"] == FAILS or (steps[-1]["result"] == ABSENT and step["gate"]):
                break
        problem = _close(undo)
    if problem:
        steps.append({"say": "Take back what this row changed", "result": FAILS, **Seen(False, [problem]).facts()})
    elif row["restored"]:
        again = {"say": "Wait until everything is as before", "needs": [], "gate": False, "timeout": _RESTORED}
        steps.append(_step(place, {**again, "conditions": row["restored"]}, available, undo))
    results = {step["result"] for step in steps}
    # A row without a step that holds proves nothing.
    result = FAILS if FAILS in results or HOLDS not in results else PARTLY if ABSENT in results else HOLDS
    return _told(row, result, steps, place.clock() - started)


def _close(undo: ExitStack) -> str:
    try:
        undo.close()
    except DrystoneError as error:
        return f"{error.msg} Repeat this row when the cause is removed: it takes back what is left."
    return ""


def _step(place: Place, step: Options, available: Sequence[str], undo: ExitStack) -> dict[str, t.Any]:
    missing = [need for need in step["needs"] if need not in available]
    if missing:
        return _absent(step, step["instead"] or f"Not checked, because this needs: {', '.join(missing)}.")
    kind = next(name for name in KINDS if step.get(name) is not None)
    gate = step["gate"]
    try:
        timeout = max(step["timeout"], place.patience) if kind in LOOKING else step["timeout"]
        seen = KINDS[kind](place, step[kind], timeout, undo)
    except (DrystoneError, OSError) as error:
        seen, gate = Seen(False, str(error).splitlines()), False
    if not seen.holds and gate:
        return _absent(step, *filter(None, [step["instead"]]), *seen.lines)
    return {"say": step["say"], "result": HOLDS if seen.holds else FAILS, **seen.facts()}


def _absent(step: Options, *lines: str) -> dict[str, t.Any]:
    return {"say": step["say"], "result": ABSENT, **Seen(True, [*lines]).facts()}


def _told(
    row: Options, result: str, steps: list[dict[str, t.Any]], seconds: float, missing: Sequence[str] = ()
) -> dict[str, t.Any]:
    return {
        "id": row["id"],
        "title": row["title"],
        "result": result,
        "seconds": round(seconds, 1),
        "missing": list(missing),
        "steps": steps,
    }
