# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who changed what an environment deploys, and how it ended."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed, InvalidInput
from ansible_collections.drystone.platform.plugins.module_utils._release.history import Entry, earlier, history, note
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target
from tests.unit.bare_repository import Server

STAGING = Target("staging", "greeter")


def read(server: Server, name: str, target: Target = STAGING, limit: int = 20) -> list[Entry]:
    git = server.clone(name)
    head = git.fetch()
    assert head
    return history(git, head, target, limit)


def test_a_release_shows_who_when_why_and_what(server: Server, first: str) -> None:
    promoted = server.commit({STAGING.path: STAGING.text(first)}, "Promote greeter to staging")
    server.commit({"deploy/environments/dev/greeter/a": "a"}, "Change dev")
    entry, before = read(server, "clone")
    assert (before.commit, before.revision) == (first, None)
    assert (entry.commit, entry.author, entry.subject) == (promoted, "ada", "Promote greeter to staging")
    assert (entry.revision, entry.health) == (first, "")
    assert "T" in entry.date


def test_without_a_release_the_commits_of_the_workload_are_shown(server: Server, first: str) -> None:
    changed = server.commit({"deploy/workloads/greeter/base/kustomization.yaml": "tag: 1.1.0\n"}, "Change the greeter")
    server.commit({"deploy/environments/dev/greeter/a": "a"}, "Change dev")
    assert [(entry.commit, entry.revision) for entry in read(server, "clone")] == [(changed, None), (first, None)]


def test_a_removed_release_is_part_of_the_history(server: Server, first: str) -> None:
    server.commit({STAGING.path: STAGING.text(first)}, "Promote")
    server.commit({STAGING.path: None}, "Follow main")
    subjects = [(entry.subject, entry.revision) for entry in read(server, "clone")]
    assert subjects[:2] == [("Follow main", None), ("Promote", first)]


def test_a_file_that_was_invalid_for_a_while_does_not_break_the_history(server: Server, first: str) -> None:
    server.commit({STAGING.path: "broken\n"}, "Break it")
    server.commit({STAGING.path: STAGING.text(first)}, "Correct it")
    assert [(entry.subject, entry.revision) for entry in read(server, "clone")][:2] == [
        ("Correct it", first),
        ("Break it", None),
    ]


def test_before_the_first_release_are_the_commits_of_the_workload(server: Server, first: str) -> None:
    second = server.commit({"deploy/components/autoscaling/a": "a"}, "Change a component")
    server.commit({STAGING.path: STAGING.text(first)}, "Roll back")
    found = read(server, "clone")
    assert [entry.commit for entry in found[1:]] == [second, first]
    assert earlier(found) is None


def test_a_note_that_the_server_refuses_is_an_error(server: Server, first: str) -> None:
    hook = server.path / "hooks/update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\ncase "$1" in refs/notes/*) exit 1 ;; esac\n')
    hook.chmod(0o755)
    with pytest.raises(CommandFailed):
        note(server.clone(), first, "healthy", check=False)


def test_the_history_has_a_limit(server: Server, first: str) -> None:
    for number in range(3):
        server.commit({STAGING.path: STAGING.text(first) + f"# {number}\n"}, f"Promote {number}")
    assert [entry.subject for entry in read(server, "clone", limit=2)] == ["Promote 2", "Promote 1"]


def test_notes_are_the_health_of_a_release_and_are_written_once(server: Server, first: str) -> None:
    promoted = server.commit({STAGING.path: STAGING.text(first)}, "Promote")
    assert note(server.clone("a"), promoted, "healthy", check=True)
    assert "refs/notes/drystone" not in server.git("for-each-ref")
    assert note(server.clone("b"), promoted, "healthy", check=False)
    assert not note(server.clone("c"), promoted, "healthy", check=False)
    assert note(server.clone("d"), promoted, "checked again", check=False)
    assert read(server, "e")[0].health.split("\n\n") == ["healthy", "checked again"]


def test_a_note_of_somebody_else_is_kept(server: Server, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    second = server.commit({"deploy/a": "a"})
    ours, theirs = server.clone("ours"), server.clone("theirs")
    run, pending = ours.run, [True]

    def overtaken(*arguments: str, **more: t.Any) -> str:
        if arguments[0] == "push" and pending:
            pending.clear()
            note(theirs, second, "theirs", check=False)
        return run(*arguments, **more)

    monkeypatch.setattr(ours, "run", overtaken)
    assert note(ours, first, "ours", check=False)
    assert server.git("notes", "--ref=refs/notes/drystone", "show", first) == "ours"
    assert server.git("notes", "--ref=refs/notes/drystone", "show", second) == "theirs"


def test_a_note_on_an_unknown_commit_is_an_error(server: Server, first: str) -> None:
    with pytest.raises(InvalidInput, match=r"Adding a note to commit 0000.* does not have it"):
        note(server.clone(), "0" * 40, "healthy", check=False)


def entries(*states: str) -> list[Entry]:
    """Return a history, the newest state first, each with the health after a space."""
    return [
        Entry("commit", "ada", "date", "subject", revision, health)
        for revision, _space, health in (state.partition(" ") for state in states)
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        pytest.param(["b healthy", "a healthy"], "a", id="one back"),
        pytest.param(["a", "b", "a", "z"], "z", id="a second rollback goes further back"),
        pytest.param(["a", "b failed", "a healthy", "y failed", "x"], "x", id="failed releases are skipped"),
        pytest.param(["a"], None, id="only one state"),
        pytest.param([], None, id="no history"),
        pytest.param(["b", "a failed"], None, id="only failed ones"),
    ],
)
def test_a_rollback_goes_to_the_last_good_state_before_the_current_one(states: list[str], expected: str | None) -> None:
    assert earlier(entries(*states)) == expected
