# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of the engine, its owner, and the messages for the user."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._command import (
    NOT_FOUND,
    TIMED_OUT,
    Result,
    may_become_root,
)
from ansible_collections.drystone.platform.plugins.module_utils._host import engine as subject
from ansible_collections.drystone.platform.plugins.module_utils._host.engine_installation import (
    Installation,
    describe_socket,
    engine_problem,
    is_managed,
    read_installation,
)
from ansible_collections.drystone.platform.plugins.module_utils._host.proc import Proc

SOCKET = "unix:///var/run/docker.sock"
SERVER = {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"}
INFO = {
    "DockerRootDir": "/srv/docker",
    "Driver": "overlay2",
    "CgroupVersion": "1",
    "DefaultRuntime": "runc",
    "Runtimes": {"runc": {}, "io.containerd.runc.v2": {}},
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Containers": 3,
}


class FakeDocker:
    """A docker client with prepared answers by subcommand that records its calls."""

    def __init__(self, **answers: Result) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []

    def __call__(self, argv: list[str], timeout: float) -> Result:
        self.asked.append(argv)
        return self.answers.get(argv[1], Result(0))


def test_a_running_engine_is_described() -> None:
    docker = FakeDocker(
        version=Result(0, json.dumps(SERVER)), info=Result(0, json.dumps(INFO)), context=Result(0, f"{SOCKET}\n")
    )
    engine = subject.read_engine(docker, {})
    assert (engine.state, engine.host, engine.api_version, engine.data_root) == (
        "running",
        SOCKET,
        "1.41",
        "/srv/docker",
    )
    assert (engine.runtimes, engine.containers, engine.local) == (["io.containerd.runc.v2", "runc"], 3, True)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (Result(NOT_FOUND, stderr="docker: not found"), "absent"),
        (
            Result(1, stderr="Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"),
            "stopped",
        ),
        (Result(1, stderr="error during connect: dial tcp 127.0.0.1:1: connect: connection refused"), "stopped"),
        (Result(1, stderr="permission denied while trying to connect to the Docker daemon socket"), "denied"),
        (Result(1, stderr="client version 1.52 is too new. Maximum supported API version is 1.41"), "broken"),
        (Result(TIMED_OUT, stderr="docker version: no answer within 10 s"), "broken"),
    ],
)
def test_an_engine_that_does_not_answer_says_why(result: Result, state: str) -> None:
    engine = subject.read_engine(FakeDocker(version=result), {})
    assert engine.state == state
    assert engine.reason


def test_an_engine_that_answers_nonsense_is_broken() -> None:
    engine = subject.read_engine(FakeDocker(version=Result(0, "<html>"), info=Result(0, "{}")), {})
    assert engine.state == "broken"
    assert "<html>" in engine.reason


def test_docker_host_goes_before_the_context() -> None:
    docker = FakeDocker(version=Result(1, stderr="Cannot connect"))
    assert subject.read_engine(docker, {"DOCKER_HOST": "tcp://build:2376"}).host == "tcp://build:2376"
    assert ["docker", "context"] not in [argv[:2] for argv in docker.asked]


def test_waiting_ends_when_the_engine_answers_and_at_the_deadline() -> None:
    now = [0.0]
    states = iter(["stopped", "broken", "running", "running"])
    read = lambda: subject.Engine(next(states), SOCKET)  # noqa: E731 - a named function would not be clearer
    assert (
        subject.wait_for_engine(read, 60, lambda: now[0], lambda s: now.__setitem__(0, now[0] + s)).state == "running"
    )
    assert now[0] == 1.0
    stopped = subject.wait_for_engine(
        lambda: subject.Engine("stopped", SOCKET), 5, lambda: now[0], lambda s: now.__setitem__(0, now[0] + s)
    )
    assert stopped.state == "stopped"
    assert now[0] == 6.0


def test_a_closed_socket_is_not_waited_for() -> None:
    assert (
        subject.wait_for_engine(
            lambda: subject.Engine("denied", SOCKET), 60, sleep=lambda _s: pytest.fail("it was called")
        ).state
        == "denied"
    )


GOOD = 'exec: "/no-such-program": stat /no-such-program: no such file or directory: unknown'
BAD = "OCI runtime create failed: unable to apply caps: operation not permitted: unknown\n\nRun 'docker run --help'"


@pytest.mark.parametrize(
    ("ran", "reason"),
    [
        (Result(127, stderr=GOOD), ""),
        (Result(125, stderr=BAD), BAD.partition("\n")[0]),
        (Result(TIMED_OUT, stderr="no answer"), "no answer"),
    ],
)
def test_a_privileged_container_is_tried_and_nothing_is_left(ran: Result, reason: str) -> None:
    docker = FakeDocker(run=ran)
    assert subject.probe_privileged(docker) == reason
    made = next(argv for argv in docker.asked if argv[1] == "run")
    assert "--privileged" in made
    name, image = made[made.index("--name") + 1], made[-2]
    assert docker.asked[-2:] == [["docker", "rm", "--force", name], ["docker", "rmi", "--force", image]]


def test_a_probe_that_cannot_begin_says_so() -> None:
    docker = FakeDocker(**{"import": Result(1, stderr="no space left on device")})
    assert subject.probe_privileged(docker) == "docker import of an empty image: no space left on device"
    assert [argv[1] for argv in docker.asked] == ["import"]


@pytest.mark.parametrize(
    ("pid", "stat", "stale"),
    [
        ("7", "7 (dockerd) S 1", False),
        ("7\n", "7 (dockerd) Z 1", True),
        ("7", "7 (sleep) S 1", True),
        ("7", "", True),
        ("", "", True),
        ("no number", "", True),
    ],
)
def test_pid_files_of_a_crash(tmp_path: Path, pid: str, stat: str, stale: bool) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/stat").write_text(stat)
    file = tmp_path / "docker.pid"
    file.write_text(pid)
    found = subject.stale_pid_files(Proc(tmp_path), {str(file): "dockerd", str(tmp_path / "none"): "dockerd"})
    assert found == ([str(file)] if stale else [])


def test_the_last_words_come_from_the_log_or_the_journal(tmp_path: Path) -> None:
    log = tmp_path / "docker.log"
    log.write_text("".join(f"line {number}\n" for number in range(40)))
    assert subject.log_tail(FakeDocker(), str(log), 2) == "line 38\nline 39"
    journal = FakeDocker(**{"--unit": Result(0, "from the journal\n")})
    assert subject.log_tail(journal, str(tmp_path / "none"), 2) == "from the journal"


USED = Installation(daemon="/usr/sbin/dockerd", data_root_exists=True)
UNUSED = Installation(daemon="/usr/sbin/dockerd")


@pytest.mark.parametrize(
    ("state", "host", "installation", "managed"),
    [
        ("running", SOCKET, USED, False),
        ("running", SOCKET, Installation(daemon="/usr/sbin/dockerd", recorded=True), True),
        ("stopped", SOCKET, USED, False),
        ("stopped", SOCKET, UNUSED, True),
        ("stopped", SOCKET, Installation(daemon="/usr/sbin/dockerd", daemon_json={}), False),
        ("stopped", "tcp://build:2376", UNUSED, False),
        ("stopped", SOCKET, Installation(), True),
        ("absent", SOCKET, Installation(), True),
        ("denied", SOCKET, UNUSED, False),
        ("broken", SOCKET, UNUSED, False),
    ],
)
def test_whose_engine_it_is(state: str, host: str, installation: Installation, managed: bool) -> None:
    assert is_managed(subject.Engine(state, host), installation) is managed


@pytest.mark.parametrize(
    ("engine", "installation", "may_install", "told"),
    [
        (("running", SOCKET, ""), {}, True, None),
        (("running", "ssh://build", ""), {}, True, "on another host"),
        (("denied", SOCKET, ""), {"user": "ann"}, True, "sudo usermod -aG docker ann"),
        (("denied", SOCKET, ""), {"user": "ann", "in_docker_group": True}, True, "ann is in the group docker"),
        (("broken", SOCKET, "client is too new"), {}, True, "client is too new"),
        (("stopped", "unix:///run/user/1000/docker.sock", "dead"), {}, True, "docker context use default"),
        (("stopped", SOCKET, "dead"), {"daemon": "/usr/sbin/dockerd"}, True, None),
        (("stopped", SOCKET, "dead"), {"daemon": "/usr/sbin/dockerd"}, False, "sudo service docker start"),
        (("absent", SOCKET, ""), {"has_apt": True}, True, None),
        (("absent", SOCKET, ""), {"has_apt": False}, True, "apt-get is missing"),
        (("absent", SOCKET, ""), {"has_apt": True}, False, "apt-get install docker.io"),
    ],
)
def test_what_the_user_is_told(
    engine: tuple[str, str, str], installation: dict[str, Any], may_install: bool, told: str | None
) -> None:
    problem = engine_problem(subject.Engine(*engine), Installation(**installation), may_install)
    if told is None:
        assert problem is None
    else:
        assert problem is not None
        assert told in problem.line()


def test_an_unreachable_engine_is_named_with_its_socket() -> None:
    problem = engine_problem(subject.Engine("stopped", SOCKET, "dead"), USED, may_install=False)
    assert problem is not None
    assert f"Docker does not answer at {SOCKET}" in problem.line()


def test_what_lies_on_the_disk_is_read(tmp_path: Path) -> None:
    assert read_installation("/var/lib/x.json", tmp_path).daemon == ""
    for path in ("usr/sbin/dockerd", "var/lib/docker/x", "var/lib/x.json", "etc/docker/daemon.json"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("{}")
    found = read_installation("/var/lib/x.json", tmp_path)
    assert (found.daemon, found.recorded, found.daemon_json, found.data_root_exists) == (
        "/usr/sbin/dockerd",
        True,
        {},
        True,
    )


def test_a_socket_is_described_with_owner_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    path.touch(mode=0o600)
    assert "mode 0600" in describe_socket(f"unix://{path}")
    assert describe_socket("unix:///none.sock") == "/none.sock"


def test_root_needs_no_sudo_and_others_only_one_without_password() -> None:
    assert may_become_root(lambda *_: pytest.fail("it was called"), 0)
    assert may_become_root(lambda *_: Result(0), 1000)
    assert not may_become_root(lambda *_: Result(1, stderr="a password is required"), 1000)
