# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows run their steps, stop at a failure, and take back what they changed."""

from __future__ import annotations

import typing as t
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._acceptance import rows as rows_file
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.place import Place
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.rows import run_rows
from ansible_collections.drystone.platform.plugins.module_utils._acceptance.seen import Seen
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

Options = dict[str, t.Any]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the kinds of steps by one that records itself; its options say what happens."""
    said: list[str] = []

    def step(_place: Place, options: Options, _timeout: float, undo: ExitStack) -> Seen:
        said.append(options["name"])
        if options.get("undo"):
            undo.callback(t.cast("Callable[[], None]", options["undo"]))
        if options.get("error"):
            raise CommandFailed("Doing it: it failed.\nDo something else.")
        return Seen(options.get("holds", True), [options["name"]])

    monkeypatch.setattr(rows_file, "KINDS", {"command": step})
    return said


def row(name: str, *steps: Options, **more: t.Any) -> Options:
    """Return a row with all options, as the module gets it."""
    full: list[Options] = [
        {"say": f"Do {one.get('name')}", "needs": [], "instead": None, "gate": False, "timeout": 0, "command": one}
        for one in steps
    ]
    for given, made in zip(steps, full, strict=True):
        made |= {key: given[key] for key in ("needs", "instead", "gate") if key in given}
    return {"id": name, "title": f"Title of {name}", "needs": [], "slow": False, "restored": [], "steps": full, **more}


def run(*rows: Options, available: tuple[str, ...] = (), slow: bool = True) -> list[dict[str, t.Any]]:
    place = t.cast(Place, type("Place", (), {"clock": staticmethod(lambda: 1.0), "patience": 0}))
    return run_rows(place, rows, available=available, slow=slow, parallel=2)


def results(found: list[dict[str, t.Any]]) -> dict[str, str]:
    return {one["id"]: one["result"] for one in found}


def test_a_row_holds_if_every_step_holds(log: list[str]) -> None:
    found = run(row("C1", {"name": "a"}, {"name": "b"}))
    assert results(found) == {"C1": "holds"}
    assert log == ["a", "b"]
    assert [step["say"] for step in found[0]["steps"]] == ["Do a", "Do b"]


@pytest.mark.parametrize("bad", [{"holds": False}, {"error": True}])
def test_a_failure_ends_the_row_and_no_other(log: list[str], bad: Options) -> None:
    found = run(row("C1", {"name": "a", **bad}, {"name": "b"}), row("C2", {"name": "c"}))
    assert results(found) == {"C1": "fails", "C2": "holds"}
    assert sorted(log) == ["a", "c"]


def test_an_error_is_what_was_seen(log: list[str]) -> None:
    assert run(row("C1", {"name": "a", "error": True}))[0]["steps"][0]["seen"] == [
        "Doing it: it failed.",
        "Do something else.",
    ]


def test_a_row_is_absent_if_the_platform_lacks_something(log: list[str]) -> None:
    found = run(row("H1", {"name": "a"}, needs=["hello", "ingress"]), available=("ingress",))
    assert (results(found), found[0]["missing"], log) == ({"H1": "absent"}, ["hello"], [])


def test_a_step_that_needs_more_makes_the_row_hold_partly(log: list[str]) -> None:
    more = {"name": "b", "needs": ["upstream"], "instead": "This needs the internet. Checked instead: a."}
    found = run(row("F7", {"name": "a"}, more, {"name": "c"}))
    assert (results(found), log) == ({"F7": "partly"}, ["a", "c"])
    assert found[0]["steps"][1]["seen"] == ["This needs the internet. Checked instead: a."]
    assert results(run(row("F7", {"name": "a"}, more), available=("upstream",))) == {"F7": "holds"}


def test_a_row_without_a_step_that_holds_proves_nothing(log: list[str]) -> None:
    assert results(run(row("F7"), row("F8", {"name": "b", "needs": ["upstream"]}))) == {"F7": "fails", "F8": "fails"}


def test_a_step_that_needs_more_says_what(log: list[str]) -> None:
    found = run(row("F7", {"name": "b", "needs": ["upstream", "github"]}))
    assert found[0]["steps"][0]["seen"] == ["Not checked, because this needs: upstream, github."]


def test_a_gate_ends_the_row_without_a_failure(log: list[str]) -> None:
    shut = {"name": "a", "gate": True, "holds": False, "instead": "Somebody else has something to promote."}
    found = run(row("F9", {"name": "0"}, shut, {"name": "b"}), row("F8", {"name": "c", "gate": True}, {"name": "d"}))
    assert results(found) == {"F9": "partly", "F8": "holds"}
    assert sorted(log) == ["0", "a", "c", "d"]
    assert found[0]["steps"][1]["seen"] == ["Somebody else has something to promote.", "a"]


def test_an_error_at_a_gate_is_a_failure(log: list[str]) -> None:
    assert results(run(row("F9", {"name": "a", "gate": True, "error": True}, {"name": "b"}))) == {"F9": "fails"}


def test_slow_rows_run_last_in_their_order_and_only_on_request(log: list[str]) -> None:
    given = [
        row("G2", {"name": "slow"}, slow=True),
        row("G3", {"name": "quick"}),
        row("G4", {"name": "slower"}, slow=True),
    ]
    assert list(results(run(*given))) == ["G2", "G3", "G4"]
    assert log == ["quick", "slow", "slower"]
    assert results(run(*given, slow=False)) == {"G2": "skipped", "G3": "holds", "G4": "skipped"}


@pytest.mark.parametrize("bad", [{}, {"holds": False}, {"error": True}])
def test_a_row_takes_back_what_it_changed_in_reverse_order(log: list[str], bad: Options) -> None:
    first = {"name": "a", "undo": lambda: log.append("undo a")}
    second = {"name": "b", "undo": lambda: log.append("undo b"), **bad}
    run(row("G2", first, second, slow=True))
    assert log == ["a", "b", "undo b", "undo a"]


def test_a_change_that_cannot_be_taken_back_fails_the_row(log: list[str]) -> None:
    def undo() -> None:
        raise CommandFailed("Pushing: the server does not answer.")

    found = run(row("G2", {"name": "a", "undo": undo}, slow=True))
    assert results(found) == {"G2": "fails"}
    assert found[0]["steps"][-1]["seen"][0].startswith("Pushing: the server does not answer. Repeat this row")
