# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Run a command with a time limit. AnsibleModule.run_command has none, and a hung engine would hang the run."""

from __future__ import annotations

import os
import subprocess
import typing as t
from dataclasses import dataclass

NOT_FOUND = 127
TIMED_OUT = 124


@dataclass(frozen=True)
class Result:
    """The result of a command: rc is NOT_FOUND if the program does not exist, TIMED_OUT if it was stopped."""

    rc: int
    stdout: str = ""
    stderr: str = ""

    @property
    def reason(self) -> str:
        """The error output in one line."""
        return " ".join((self.stderr.strip() or self.stdout.strip() or f"exit code {self.rc}").split())


Run = t.Callable[[list[str], float], Result]


def run(argv: list[str], timeout: float) -> Result:
    """Run argv without a shell and with messages in English."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )
    except FileNotFoundError:
        return Result(NOT_FOUND, stderr=f"{argv[0]}: not found")
    except PermissionError:
        return Result(NOT_FOUND, stderr=f"{argv[0]}: this user may not run it")
    except subprocess.TimeoutExpired:
        return Result(TIMED_OUT, stderr=f"{' '.join(argv[:2])}: no answer within {timeout:g} s")
    return Result(done.returncode, done.stdout, done.stderr)


def may_become_root(run_command: Run, uid: int) -> bool:
    """Return whether this user is root or may become root without a password."""
    return uid == 0 or run_command(["sudo", "-n", "true"], 5.0).rc == 0
