# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is forked for a module behaves like a new Python process."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import textwrap
import typing as t
from pathlib import Path

import pytest
from ansible.release import __version__ as installed

from ansible_collections.drystone.platform.plugins.plugin_utils import _fork_process
from ansible_collections.drystone.platform.plugins.plugin_utils._fork_process import is_tested, run_in_fork

ROOT = Path(__file__).resolve().parents[4]

if not is_tested(installed):
    pytest.skip(f"ansible-core {installed} is not used with forks", allow_module_level=True)


def module(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> str:
    (folder / "a_module.py").write_text("import json, os, signal, sys\n" + textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(folder))
    return "a_module"


def test_a_module_has_a_process_with_the_signals_of_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = module(
        tmp_path,
        monkeypatch,
        """
        os.environ["LEFT_BEHIND"] = "yes"
        usual = [signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
                 signal.getsignal(signal.SIGALRM) is signal.SIG_DFL,
                 signal.getsignal(signal.SIGINT) is signal.default_int_handler,
                 signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()]
        print(json.dumps([os.getpid(), __name__, sys.argv[1:], usual]))
        print("a warning", file=sys.stderr)
        sys.exit(3)
        """,
    )
    done = run_in_fork(name, b"{}")
    process, called, arguments, usual = json.loads(done["stdout"])
    assert (done["rc"], called, arguments, usual) == (3, "__main__", [], [True] * 4)
    assert done["stderr"] == b"a warning\n"
    assert process != os.getpid()
    assert "LEFT_BEHIND" not in os.environ
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize(
    ("text", "code", "stdout", "stderr"),
    [
        ("sys.exit()", 0, "", ""),
        ("sys.exit(256)", 0, "", ""),
        ("sys.exit('no')", 1, "", "no\n"),
        ("raise ValueError('as never seen')", 1, ".*as never seen.*", ""),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137, "", "Killed\n"),
        ("raise KeyboardInterrupt", 130, "", "Traceback.*KeyboardInterrupt\n"),
        ("os.kill(os.getpid(), signal.SIGINT); signal.pause()", 130, "", "Traceback.*KeyboardInterrupt\n"),
        ("sys.stdout = None; sys.exit(4)", 1, "", "Traceback.*AttributeError.*"),
        ("os.system('echo one; echo two >&2'); sys.exit(0)", 0, "one\n", "two\n"),
        ("print('x' * 1000000, end=''); print('y' * 1000000, end='', file=sys.stderr); sys.exit()", 0, "x+", "y+"),
    ],
)
def test_however_it_ends_it_ends_alone_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, code: int, stdout: str, stderr: str
) -> None:
    done = run_in_fork(module(tmp_path, monkeypatch, text), b"{}")
    assert done["rc"] == code
    assert re.fullmatch(stdout, done["stdout"].decode(), re.DOTALL)
    assert re.fullmatch(stderr, done["stderr"].decode(), re.DOTALL)


def a_runner_of_another_version(*, json_params: bytes) -> None:
    """Simulate a function whose parameters differ from the given arguments."""


@pytest.mark.parametrize("broken", ["run_module", "_start_afresh"])
def test_an_error_of_its_own_carries_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: t.Literal["run_module", "_start_afresh"]
) -> None:
    monkeypatch.setattr(_fork_process, broken, a_runner_of_another_version)
    done = run_in_fork(module(tmp_path, monkeypatch, "sys.exit()"), b"{}")
    assert (done["rc"], done["stdout"]) == (1, b"")
    assert b"Traceback" in done["stderr"]
    assert b"TypeError: a_runner_of_another_version() " in done["stderr"]


def test_what_a_module_leaves_to_its_exit_is_done_and_nothing_of_ansible_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module(tmp_path, monkeypatch, "import atexit; atexit.register(print, 'cleaned up'); print('done')")
    not_ours = tmp_path / "not_ours"
    atexit.register(not_ours.touch)
    try:
        done = run_in_fork(name, b"{}")
    finally:
        atexit.unregister(not_ours.touch)
    assert done["stdout"].splitlines()[-1] == b"cleaned up"
    assert not not_ours.exists()


def test_a_task_that_is_cut_off_takes_its_module_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    name = module(
        tmp_path,
        monkeypatch,
        f"""
        pipe = open({str(pipe)!r}, "w")
        os.kill(os.getppid(), signal.SIGUSR1)
        signal.pause()
        """,
    )

    def cut_off(_number: int, _frame: object) -> None:
        raise TimeoutError("as Ansible does it")

    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    before = signal.signal(signal.SIGUSR1, cut_off)
    try:
        with pytest.raises(TimeoutError, match="as Ansible does it"):
            run_in_fork(name, b"{}")
    finally:
        signal.signal(signal.SIGUSR1, before)
    os.set_blocking(reading, True)
    assert os.read(reading, 1) == b""  # the end of the pipe: no process can write to it any more
    os.close(reading)


def test_a_host_that_is_full_gives_its_error_and_leaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> int:
        raise BlockingIOError("Resource temporarily unavailable")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", full)
    with pytest.raises(BlockingIOError):
        run_in_fork("a_module", b"{}")
    assert os.listdir("/proc/self/fd") == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


@pytest.mark.parametrize(
    ("version", "tested"),
    [
        ("2.19.0", True),
        ("2.19.14", True),
        ("2.19.15", False),
        ("2.19.0rc1", False),
        ("2.19", False),
        ("2.18.9", False),
        ("2.20.0", False),
        ("3.0.0", False),
        ("devel", False),
    ],
)
def test_only_tested_versions_of_ansible_are_used(version: str, tested: bool) -> None:
    assert is_tested(version) == tested
