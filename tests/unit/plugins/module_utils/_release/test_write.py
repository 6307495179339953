# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Releases are written with real git: one commit, nothing of others lost, nothing half done."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import InvalidInput, Refused
from ansible_collections.drystone.platform.plugins.module_utils._git.errors import RemoteUnavailable
from ansible_collections.drystone.platform.plugins.module_utils._git.remote import Author, Git
from ansible_collections.drystone.platform.plugins.module_utils._release import write
from ansible_collections.drystone.platform.plugins.module_utils._release.pins import Target, revision_of
from tests.unit.bare_repository import Server

STAGING, PRODUCTION = Target("staging", "greeter"), Target("production", "greeter")


def release(server: Server, wanted: dict[Target, str | None], *, check: bool = False, **more: t.Any) -> write.Outcome:
    request = write.Request(wanted, "Promote greeter", Author("Ada", "ada@example.com"), **more)
    return write.release(server.remote, request, check=check)


def released(server: Server, target: Target, branch: str = "main") -> str:
    return revision_of(server.file(target.path, branch), target.path)


def test_a_release_is_one_commit_of_its_author_with_one_file(server: Server, first: str) -> None:
    outcome = release(server, {STAGING: first})
    assert (outcome.changed, outcome.commit, outcome.head) == (True, server.head(), first)
    assert server.git("diff", "--name-status", first, "main") == f"A\t{STAGING.path}"
    assert server.git("log", "-1", "--format=%an <%ae>, %cn, %s") == "Ada <ada@example.com>, Drystone, Promote greeter"
    assert f"Drystone-Release: staging/greeter {first}" in server.git("log", "-1", "--format=%B")
    assert released(server, STAGING) == first


def test_the_same_release_again_changes_nothing(server: Server, first: str) -> None:
    head = release(server, {STAGING: first}).commit
    again = release(server, {STAGING: first})
    assert (again.changed, again.commit, server.head()) == (False, None, head)


def test_check_mode_predicts_and_pushes_nothing(server: Server, first: str) -> None:
    predicted = release(server, {STAGING: first}, check=True)
    assert (predicted.changed, predicted.commit, server.head()) == (True, None, first)
    assert predicted.diff() == {"before": {"staging/greeter": None}, "after": {"staging/greeter": first}}


def test_without_a_revision_the_workload_follows_the_branch_again(server: Server, first: str) -> None:
    release(server, {STAGING: first, PRODUCTION: first})
    release(server, {STAGING: None})
    assert server.git("ls-tree", "-r", "--name-only", "main", "releases/") == PRODUCTION.path


def test_only_missing_keeps_existing_releases(server: Server, first: str) -> None:
    release(server, {STAGING: first})
    second = server.commit({"deploy/a": "a"})
    outcome = release(server, {STAGING: second, PRODUCTION: second}, only_missing=True)
    assert outcome.changed
    assert (released(server, STAGING), released(server, PRODUCTION)) == (first, second)


def test_a_commit_of_another_branch_is_refused(server: Server, first: str) -> None:
    other = server.commit({"deploy/a": "a"}, branch="other")
    for revision in (other, "0" * 40):
        with pytest.raises(InvalidInput, match="not in the history"):
            release(server, {STAGING: revision})
    assert server.head() == first


def test_an_empty_repository_is_refused(server: Server) -> None:
    with pytest.raises(InvalidInput, match="is empty"):
        release(server, {STAGING: "0" * 40})


def test_a_release_that_somebody_else_changed_is_refused(server: Server, first: str) -> None:
    second = server.commit({"deploy/a": "a"})
    release(server, {STAGING: first})
    with pytest.raises(Refused, match="somebody else changed its release meanwhile"):
        release(server, {STAGING: second}, expected={STAGING: None})
    assert released(server, STAGING) == first
    # Somebody else released the same: there is nothing to do.
    assert not release(server, {STAGING: first}, expected={STAGING: second}).changed


class Overtaken(Git):
    """Git whose first push is overtaken by a push of somebody else."""

    server: Server
    files: t.ClassVar[list[dict[str, str | None]]] = []

    def push(self, commit: str) -> None:
        if self.files:
            self.server.commit(self.files.pop())
        super().push(commit)


def test_a_push_of_somebody_else_is_kept(server: Server, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Overtaken.server, Overtaken.files[:] = server, [{"deploy/theirs": "theirs"}]
    monkeypatch.setattr(write, "Git", Overtaken)
    release(server, {STAGING: first}, expected={STAGING: None})
    assert server.file("deploy/theirs") == "theirs"
    assert released(server, STAGING) == first


def test_of_two_promotions_at_once_one_wins(server: Server, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    second = server.commit({"deploy/a": "a"})
    Overtaken.server, Overtaken.files[:] = server, [{STAGING.path: STAGING.text(second)}]
    monkeypatch.setattr(write, "Git", Overtaken)
    with pytest.raises(Refused):
        release(server, {STAGING: first}, expected={STAGING: None})
    assert released(server, STAGING) == second


class Lost(Git):
    """Git whose connection breaks during a push, before or after the server stored it."""

    stored = True

    def push(self, commit: str) -> None:
        if self.stored:
            super().push(commit)
        raise RemoteUnavailable("Pushing: the connection broke.")


@pytest.mark.parametrize("stored", [True, False])
def test_a_server_that_disappears_during_the_push(
    server: Server, first: str, monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    monkeypatch.setattr(Lost, "stored", stored)
    monkeypatch.setattr(write, "Git", Lost)
    if stored:
        assert release(server, {STAGING: first}).commit == server.head()
    else:
        with pytest.raises(RemoteUnavailable):
            release(server, {STAGING: first})
        assert server.head() == first


def test_a_pull_request_is_a_branch(server: Server, first: str) -> None:
    outcome = release(server, {STAGING: first}, branch="promote/staging-greeter")
    assert outcome.branch == "promote/staging-greeter"
    again = release(server, {STAGING: first}, branch="promote/staging-greeter")
    assert (again.changed, again.commit) == (False, None)
    assert server.head() == first
    assert released(server, STAGING, "promote/staging-greeter") == first


def test_an_existing_branch_is_not_overwritten(server: Server, first: str) -> None:
    theirs = server.commit({"a": "theirs"}, branch="promote/staging-greeter")
    with pytest.raises(Refused, match=r"branch promote/staging-greeter of .* exists with another content"):
        release(server, {STAGING: first}, branch="promote/staging-greeter")
    assert server.head("promote/staging-greeter") == theirs
