# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state on disk between runs."""

from __future__ import annotations

import os
import stat
import typing as t
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._errors import NotReady
from ansible_collections.drystone.platform.plugins.module_utils._kind.state import ClusterState, nonce_of


class Clock:
    """A clock that only advances while the code sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def state(tmp_path: Path) -> ClusterState:
    clock = Clock()
    return ClusterState(tmp_path / "cluster", clock, clock.sleep)


def recorded(state: ClusterState) -> tuple[str | None, dict[str, t.Any] | None]:
    return state.interrupted([]), state.created


@pytest.mark.parametrize(
    ("path", "nonce"),
    [
        ("/x/owner-" + "a1" * 16, "a1" * 16),
        ("/x/owner-" + "a1" * 15, None),
        ("/x/owner-" + "A1" * 16, None),
        ("/x/owner-" + "a1" * 16 + "/y", None),
        ("/x/owner-" + "a1" * 16 + "\n", None),
        ("/x", None),
    ],
)
def test_nonce_is_read_from_the_path(path: str, nonce: str | None) -> None:
    assert nonce_of(path) == nonce


def test_owner_file_is_made_once_and_private(state: ClusterState) -> None:
    with state.lock(0):
        first, second = state.owner_file(), state.owner_file()

    assert first == second
    assert state.nonces() == {nonce_of(str(first))}
    assert stat.S_IMODE(first.stat().st_mode) == 0o600


def test_creation_counts_as_interrupted_until_it_is_finished(state: ClusterState) -> None:
    assert recorded(state) == (None, None)
    state.begin("create")
    assert recorded(state) == ("create", None)
    state.finish_create({"a": [1]})
    assert recorded(state) == (None, {"a": [1]})
    state.begin("delete")
    assert recorded(state) == ("delete", None)


@pytest.mark.parametrize("text", ["", '{"operation"', "[]", "null"])
def test_files_cut_short_still_say_what_they_are(state: ClusterState, text: str) -> None:
    state.begin("create")
    (state.directory / "intent.json").write_text(text)
    assert state.interrupted([]) == "create"
    state.finish_create({"a": 1})
    (state.directory / "created.json").write_text(text)

    assert recorded(state) == (None, {})


def test_killed_between_the_last_two_writes_of_a_creation_is_finished(state: ClusterState) -> None:
    state.begin("create")
    intent = (state.directory / "intent.json").read_text()
    state.finish_create({"a": 1})
    (state.directory / "intent.json").write_text(intent)

    assert recorded(state) == (None, {"a": 1})


def test_second_lock_waits_as_long_as_it_may_and_names_the_holder(state: ClusterState, tmp_path: Path) -> None:
    clock = Clock()
    other = ClusterState(tmp_path / "cluster", clock, clock.sleep)
    with state.lock(0), pytest.raises(NotReady) as caught, other.lock(3):
        pass

    assert f"process {os.getpid()} still holds" in caught.value.msg
    assert 3 <= clock.now < 4


def test_lock_is_free_after_its_holder(state: ClusterState) -> None:
    state.directory.mkdir()
    (state.directory / "kubeconfig").touch()
    with state.lock(0):
        pass
    with state.lock(0) as descriptor:
        assert os.fstat(descriptor)


def test_lock_waited_for_is_taken_on_the_new_file_if_the_old_one_was_removed(
    state: ClusterState, tmp_path: Path
) -> None:
    holder = state.lock(0)
    holder.__enter__()
    clock = Clock()

    def release(seconds: float) -> None:
        clock.sleep(seconds)
        state.clear()
        holder.__exit__(None, None, None)

    with ClusterState(tmp_path / "cluster", clock, release).lock(5) as descriptor:
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / "cluster" / "lock").stat())


def test_refused_run_leaves_no_directory(state: ClusterState) -> None:
    with pytest.raises(ValueError, match="refused"), state.lock(0):
        raise ValueError("refused")

    assert not state.directory.exists()


def test_scratch_removes_what_a_killed_run_left(state: ClusterState) -> None:
    state.directory.mkdir()
    (state.directory / ".kind-dead").mkdir()
    (state.directory / ".kind-dead" / "kubeconfig.lock").touch()
    (state.directory / ".kind-halfwritten").touch()
    with state.scratch() as directory:
        assert [path.name for path in state.directory.iterdir()] == [directory.name]

    assert list(state.directory.iterdir()) == []


def test_clear_leaves_what_is_not_ours(state: ClusterState) -> None:
    with state.lock(0):
        state.begin("create")
        state.owner_file()
        (state.directory / "theirs").touch()
        state.clear()

    assert [path.name for path in state.directory.iterdir()] == ["theirs"]
