# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of the engine, and the evaluation of its answers."""

from __future__ import annotations

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, Result
from ansible_collections.drystone.platform.plugins.module_utils._docker.client import DockerClient
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed


class Engine:
    """A fake engine with one answer that records calls and timeouts."""

    def __init__(self, answer: Result) -> None:
        self.answer = answer
        self.asked: list[tuple[str, float]] = []
        self.client = DockerClient(self.run, timeout=7)

    def run(self, argv: list[str], timeout: float) -> Result:
        self.asked.append((" ".join(argv), timeout))
        return self.answer


def test_every_command_has_a_time_limit() -> None:
    engine = Engine(Result(0, "x\n"))
    engine.client.ask("info")
    engine.client.do("pull", "x", doing="Pulling x", timeout=99)
    assert engine.asked == [("docker info", 7), ("docker pull x", 99)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Result(TIMED_OUT, stderr="docker pull: no answer within 7 s"),
            "was stopped, no answer within 7 s. Check whether the engine",
        ),
        (Result(NOT_FOUND, stderr="docker: not found"), "docker: not found. Run the role container_engine first"),
        (Result(1, stderr="no space left"), "Pulling x: `docker pull x` failed with exit code 1: no space left"),
    ],
)
def test_a_failure_says_what_to_do(answer: Result, said: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        Engine(answer).client.do("pull", "x", doing="Pulling x")
    assert said in caught.value.msg
    assert caught.value.msg.startswith("Pulling x: ")


def test_containers_are_found_by_every_filter_in_any_state() -> None:
    engine = Engine(Result(0, "abc\ndef\n"))
    assert engine.client.containers("label=a=b", "network=c", doing="Looking") == ["abc", "def"]
    assert engine.asked[0][0] == "docker ps --all --no-trunc --quiet --filter label=a=b --filter network=c"


def test_nothing_is_asked_about_no_container() -> None:
    engine = Engine(Result(1))
    assert engine.client.inspect([], doing="Looking") == []
    engine.client.remove([], doing="Removing")
    assert engine.asked == []


def test_an_engine_that_does_not_answer_runs_nothing() -> None:
    assert Engine(Result(1, stderr="Cannot connect")).client.running() == []
    assert Engine(Result(0, '{"Names": "a"}\n{"Names": "b"}\n')).client.running() == [{"Names": "a"}, {"Names": "b"}]


def test_an_image_that_is_not_there_is_told_from_an_engine_that_is_not() -> None:
    assert Engine(Result(0, "sha256:abc\n")).client.image_id("x") == "sha256:abc"
    assert Engine(Result(1, stderr="Error response from daemon: No such image: x")).client.image_id("x") is None
    with pytest.raises(CommandFailed, match="Looking for image x"):
        Engine(Result(1, stderr="Cannot connect to the Docker daemon")).client.image_id("x")
