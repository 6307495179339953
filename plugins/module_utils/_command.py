# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run external commands with a timeout. PRIVATE to the collection.

AnsibleModule.run_command has no timeout, so an engine or a server that does not answer would block the run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import typing as t
from dataclasses import dataclass

from ansible_collections.drystone.platform.plugins.module_utils._errors import CommandFailed

# The exit codes of a shell and of timeout(1)
NOT_FOUND = 127
TIMED_OUT = 124

_TAIL_LINES = 40
# The output of a killed command is available at once, unless a daemon that it started keeps the output open.
_LAST_WORDS = 5.0


@dataclass(frozen=True)
class Result:
    """The result of a command: rc is NOT_FOUND if it could not start, TIMED_OUT if it was stopped."""

    rc: int
    stdout: str = ""
    stderr: str = ""

    @property
    def reason(self) -> str:
        """The error output in one line."""
        return " ".join((self.stderr.strip() or self.stdout.strip() or f"exit code {self.rc}").split())


Run = t.Callable[[list[str], float], Result]


def run(
    argv: list[str],
    timeout: float,
    *,
    env: t.Mapping[str, str] | None = None,
    cwd: str | None = None,
    text: str | None = None,
    merged: bool = False,
    pass_fds: t.Sequence[int] = (),
) -> Result:
    """Run argv without a shell. By default, use the environment of this process with English messages.

    The command reads text as its input and runs in a separate session, so it cannot prompt on a terminal. At the
    timeout or an interrupt of this process, the command is killed with all its children. If merged is true, stdout also
    contains the output on stderr.
    """
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C.UTF-8"} if env is None else env,
            stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except FileNotFoundError:
        return Result(NOT_FOUND, stderr=f"{argv[0]}: not found")
    except PermissionError:
        return Result(NOT_FOUND, stderr=f"{argv[0]}: this user may not run it")
    except OSError as error:
        return Result(NOT_FOUND, stderr=f"{argv[0]}: {error.strerror}")
    with process:
        try:
            stdout, stderr = process.communicate(text, timeout=timeout)
        except subprocess.TimeoutExpired:
            said = f"{' '.join(argv[:2])}: no answer within {timeout:g} s"
            return Result(TIMED_OUT, _killed(process), said)
        except BaseException:
            _kill(process)
            raise
    return Result(process.returncode, stdout, stderr or "")


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _killed(process: subprocess.Popen[str]) -> str:
    """Kill a command and return its output."""
    _kill(process)
    try:
        return process.communicate(timeout=_LAST_WORDS)[0] or ""
    except subprocess.TimeoutExpired:
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        return ""


def require(
    done: Result,
    argv: t.Sequence[str],
    *,
    doing: str,
    if_missing: str = "Install it, or put it on PATH.",
    if_slow: str = "Run the command by hand to see what it waits for.",
) -> str:
    """Return the output of a command, or raise CommandFailed with the operation, the observation and the remedy."""
    if done.rc == 0:
        return done.stdout
    command = " ".join(argv)
    if done.rc == NOT_FOUND and not done.stdout:
        said = f"{done.reason}. {if_missing}"
    elif done.rc == TIMED_OUT:
        said = f"`{command}` was stopped, {done.reason.partition(': ')[2] or done.reason}. {if_slow}"
    else:
        said = f"`{command}` failed with exit code {done.rc}: {tail(done.stderr) or tail(done.stdout) or 'no output'}"
    raise CommandFailed(f"{doing}: {said}", command=list(argv), rc=done.rc, stderr=tail(done.stderr))


def tail(output: str, lines: int = _TAIL_LINES) -> str:
    """Return the end of an output, which contains the error."""
    kept = [line.rstrip() for line in output.splitlines() if line.strip()]
    omitted = f"[{len(kept) - lines} lines omitted]\n" if len(kept) > lines else ""
    return omitted + "\n".join(kept[-lines:])


def end_with_commands() -> None:
    """Raise SystemExit at SIGTERM, so that the running command is killed as well."""

    def end(number: int, _frame: object) -> t.NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


def may_become_root(run_command: Run, uid: int) -> bool:
    """Return whether this user is root or may become root without a password."""
    return uid == 0 or run_command(["sudo", "-n", "true"], 5.0).rc == 0
