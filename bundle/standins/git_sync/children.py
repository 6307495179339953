# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run programs with timeouts. Each program leads a process group, which ends as a whole and not after this process."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# After SIGTERM Git removes its lock files.
_GRACE = 1.0


class Failed(Exception):
    """An operation failed; the message names the operation and the error."""


class Killed(Failed):
    """An operation did not finish, for example because of time or memory. This says nothing about its object."""


class Ending(Exception):
    """The process is exiting, so it starts no further operations."""


class Deadline:
    """A point in time by which an operation must be complete."""

    def __init__(self, seconds: float, name: str) -> None:
        self._end = time.monotonic() + seconds
        self.name = f"{name} {seconds:g}s"

    def left(self) -> float:
        """Return the remaining time."""
        return max(self._end - time.monotonic(), 0.0)


class Children:
    """All running programs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ending = False

    def run(
        self,
        command: Sequence[str],
        deadline: Deadline,
        environment: Mapping[str, str],
        cwd: Path | None = None,
        keep_open: tuple[int, ...] = (),
    ) -> str:
        """Run a program to its end and return its output."""
        with self._lock:
            if self._ending:
                raise Ending
            try:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    errors="replace",
                    env=environment,
                    cwd=cwd,
                    pass_fds=keep_open,
                    # Use a separate process group, without a terminal that could ask for a password.
                    start_new_session=True,
                )
            except OSError as error:
                raise Killed(f"can't run {command[0]}: {error}") from error
            self._running.add(child)
        try:
            output, complaint = child.communicate(timeout=deadline.left())
        except subprocess.TimeoutExpired:
            end([child])
            # Do not wait for processes that left the group and may still hold the other ends.
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            raise Killed(f"not done within {deadline.name}") from None
        finally:
            with self._lock:
                self._running.discard(child)
                if self._ending:
                    raise Ending
        if not child.returncode:
            return output
        said = " / ".join(line.strip() for line in complaint.strip().splitlines()[-8:]) or "no output"
        if child.returncode < 0:
            raise Killed(f"killed by signal {-child.returncode}: {said}")
        raise Failed(f"exit status {child.returncode}: {said}")

    def end(self) -> None:
        """End all programs and start no more."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        end(running)


def end(children: list[subprocess.Popen[str]]) -> None:
    """Send SIGTERM to process groups, then SIGKILL, and wait for their leaders."""
    deadline = Deadline(_GRACE, "grace")
    for name in (signal.SIGTERM, signal.SIGKILL):
        for child in children:
            try:
                os.killpg(child.pid, name)
            except ProcessLookupError:
                continue
        for child in children:
            try:
                child.wait(timeout=deadline.left() if name == signal.SIGTERM else _GRACE)
            except subprocess.TimeoutExpired:
                continue
