# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs programs so that none outlives its time, or us: each leads a group of processes that ends as a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# Git removes its lock files when it is asked to end.
_GRACE = 1.0


class Failed(Exception):
    """What somebody asked for could not be done; says what, and what was seen."""


class Killed(Failed):
    """It was not done for want of time, memory or whatever: that says nothing about what it was to be done on."""


class Ending(Exception):
    """We are told to end, so nothing more is to be done."""


class Deadline:
    """A point in time by which all of something has to be done."""

    def __init__(self, seconds: float, name: str) -> None:
        self._end = time.monotonic() + seconds
        self.name = f"{name} {seconds:g}s"

    def left(self) -> float:
        """Tell how much time there still is."""
        return max(self._end - time.monotonic(), 0.0)


class Children:
    """Every program that runs."""

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
        """Run a program to its end and give what it wrote."""
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
                    # No terminal to ask for a password on, and a group of its own.
                    start_new_session=True,
                )
            except OSError as error:
                raise Killed(f"can't run {command[0]}: {error}") from error
            self._running.add(child)
        try:
            output, complaint = child.communicate(timeout=deadline.left())
        except subprocess.TimeoutExpired:
            end([child])
            # Whoever left the group may hold the other ends: they are not waited for.
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
        said = " / ".join(line.strip() for line in complaint.strip().splitlines()[-8:]) or "it said nothing"
        if child.returncode < 0:
            raise Killed(f"killed by signal {-child.returncode}: {said}")
        raise Failed(f"exit status {child.returncode}: {said}")

    def end(self) -> None:
        """End all of them and let none start any more."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        end(running)


def end(children: list[subprocess.Popen[str]]) -> None:
    """Ask groups of processes to end, then make them, and wait for those that lead them."""
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
