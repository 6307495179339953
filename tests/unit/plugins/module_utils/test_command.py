# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External commands: their input, their end, and messages of failures."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.drystone.platform.plugins.module_utils._command import (
    NOT_FOUND,
    TIMED_OUT,
    Result,
    end_with_commands,
    require,
    run,
    tail,
)
from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

SHELL = ["sh", "-c"]


def gone(pid: int) -> bool:
    """Wait until a process has ended, which the kernel reports with a delay."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_what_a_command_printed_and_how_it_ended() -> None:
    assert run([*SHELL, "echo out; echo err >&2; exit 3"], 60) == Result(3, "out\n", "err\n")
    assert run([*SHELL, "echo out; echo err >&2"], 60, merged=True) == Result(0, "out\nerr\n", "")
    assert run(["cat"], 60, text="given").stdout == "given"
    assert run(["cat"], 60).stdout == ""


def test_where_and_with_what_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "yes")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    print_it = [*SHELL, 'echo "$MINE $LC_ALL $ONLY"; pwd']
    assert run(print_it, 60, cwd=str(tmp_path)).stdout == f"yes C.UTF-8 \n{tmp_path}\n"
    assert run(print_it, 60, env={"PATH": os.environ["PATH"], "ONLY": "this"}).stdout.startswith("  this\n")


def test_a_command_that_cannot_be_started_is_told_apart(tmp_path: Path) -> None:
    closed, nonsense = tmp_path / "closed", tmp_path / "nonsense"
    for path, mode in ((closed, 0o600), (nonsense, 0o700)):
        path.write_bytes(b"\x7fELF")
        path.chmod(mode)
    assert run(["no-such-program-here"], 60) == Result(NOT_FOUND, stderr="no-such-program-here: not found")
    assert run([str(closed)], 60) == Result(NOT_FOUND, stderr=f"{closed}: this user may not run it")
    assert run([str(nonsense)], 60) == Result(NOT_FOUND, stderr=f"{nonsense}: Exec format error")


def test_at_the_time_limit_all_that_it_started_is_killed_and_what_it_said_is_kept() -> None:
    stopped = run([*SHELL, "sleep 600 & echo $!; wait"], 1)
    assert (stopped.rc, stopped.reason) == (TIMED_OUT, "sh -c: no answer within 1 s")
    assert gone(int(stopped.stdout))


def test_a_daemon_that_holds_the_output_open_does_not_hold_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{run.__module__}._LAST_WORDS", 0.1)
    stopped = run([*SHELL, "setsid sleep 600 & echo $!; wait"], 1)
    assert stopped.rc == TIMED_OUT


def test_a_request_to_end_ends_the_running_command(tmp_path: Path) -> None:
    started = tmp_path / "started"
    child = os.fork()
    if not child:
        end_with_commands()
        try:
            run([*SHELL, f"echo $$ > {started}.partial; mv {started}.partial {started}; sleep 600"], 600)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    os.waitpid(child, 0)
    assert gone(int(started.read_text()))


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (Result(NOT_FOUND, stderr="kind: not found"), "Doing: kind: not found. Install it, or put it on PATH."),
        (
            Result(TIMED_OUT, stderr="kind get: no answer within 5 s"),
            "Doing: `kind get it` was stopped, no answer within 5 s. Run the command by hand to see what it waits for.",
        ),
        (Result(2, "out", "no\n\nsuch\n"), "Doing: `kind get it` failed with exit code 2: no\nsuch"),
        (Result(NOT_FOUND, "out", ""), "Doing: `kind get it` failed with exit code 127: out"),
    ],
)
def test_a_failure_says_what_was_done_what_was_seen_and_what_to_do(done: Result, said: str) -> None:
    with pytest.raises(CommandFailed) as caught:
        require(done, ["kind", "get", "it"], doing="Doing")
    assert caught.value.msg == said
    assert (caught.value.facts["rc"], caught.value.facts["command"]) == (done.rc, ["kind", "get", "it"])


def test_success_returns_what_was_printed() -> None:
    assert require(Result(0, "out\n", "warning"), ["x"], doing="Doing") == "out\n"


def test_of_a_long_output_the_end_is_kept() -> None:
    assert tail("1\n2\n\n3  \n", 2) == "[1 lines omitted]\n2\n3"
