# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the build graph and show its progress. A module could not show output while it runs."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
import typing as t

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.drystone.platform.plugins.module_utils._command import TIMED_OUT, run
from ansible_collections.drystone.platform.plugins.plugin_utils._build_progress import (
    Progress,
    duration,
    planned_steps,
    read_learned,
    write_learned,
)

HEARTBEAT = 30.0
LINES_OF_AN_ERROR = 40
QUESTION_TIMEOUT = 120.0
TIME_TO_END = 10.0

display = Display()


class ActionModule(ActionBase):
    """Run the build graph. The module of the same name contains the documentation."""

    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Return the result of the task."""
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "directory": {"type": "path", "required": True},
                "cache": {"type": "path", "required": True},
                "pins": {"type": "dict", "required": True},
                "jobs": {"type": "int", "default": 3},
                "timeout": {"type": "int", "default": 7200},
            }
        )
        cache = arguments["cache"]
        pins = [f"{name}={value}" for name, value in sorted(arguments["pins"].items())]
        make = ["make", "--no-print-directory", "--directory", arguments["directory"], f"CACHE={cache}", *pins]
        return build(make, cache, arguments["jobs"], check=self._task.check_mode, timeout=arguments["timeout"])


def build(make: list[str], cache: str, jobs: int, *, check: bool, timeout: float) -> dict[str, t.Any]:
    """Build missing artefacts. C(make) is the command without goals and jobs."""
    question = run([*make, "--question"], QUESTION_TIMEOUT, env=surroundings())
    if question.rc == 0:
        return {"changed": False, "steps": [], "msg": "everything is already built"}
    if question.rc != 1:
        return {"failed": True, "steps": [], "msg": f"make cannot read the build graph: {question.reason}"}
    dry_run = run([*make, "--dry-run"], QUESTION_TIMEOUT, env=surroundings())
    steps = planned_steps(dry_run.stdout)
    if check:
        return {"changed": True, "steps": steps, "msg": f"would build: {', '.join(steps) or 'only links'}"}
    log = os.path.join(cache, "build", "build.log")
    os.makedirs(os.path.dirname(log), exist_ok=True)
    learned_path = os.path.join(cache, "durations.json")
    learned = read_learned(learned_path)
    progress = Progress(steps, learned, time.monotonic)
    code = follow([*make, f"--jobs={jobs}"], log, progress, timeout)
    seconds = progress.finish()
    write_learned(learned_path, {**learned, **progress.done})
    facts = {"changed": True, "steps": list(progress.done), "seconds": round(seconds, 1), "log": log}
    if code == 0:
        return {**facts, "msg": f"built in {duration(seconds)}"}
    ended = f"The build failed after {duration(seconds)}."
    if code == TIMED_OUT:
        ended = f"The build was stopped, because it was not finished after {timeout:g} s (timeout)."
    with open(log, encoding="utf-8", errors="replace") as file:
        said = "".join(file.readlines()[-LINES_OF_AN_ERROR:])
    return {
        **facts,
        "failed": True,
        "msg": f"{ended} Finished steps are kept. Fix the cause, then run the task again."
        f" The log {log} ends with:\n{said}",
    }


def surroundings() -> dict[str, str]:
    """Return the environment without the variables that an outer make sets, such as its job server."""
    of_make = ("MAKEFLAGS", "MFLAGS", "GNUMAKEFLAGS", "MAKELEVEL", "MAKEFILES")
    return {name: value for name, value in os.environ.items() if name not in of_make}


def follow(command: list[str], log: str, progress: Progress, timeout: float) -> int:
    """Run the command, write its output to the log, and show its steps. Return its exit code or TIMED_OUT."""
    deadline = time.monotonic() + timeout
    with (
        open(log, "wb") as kept,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=surroundings(),
        ) as process,
        selectors.DefaultSelector() as waiting,
    ):
        output = t.cast(t.BinaryIO, process.stdout)
        waiting.register(output, selectors.EVENT_READ)
        unfinished = b""
        while True:
            if waiting.select(timeout=min(1.0, HEARTBEAT)):
                # Do not use readline: select does not see lines in its buffer, so they would be shown too late.
                chunk = os.read(output.fileno(), 65536)
                if not chunk:
                    break
                kept.write(chunk)
                kept.flush()
                *lines, unfinished = (unfinished + chunk).split(b"\n")
                for line in lines:
                    show(progress.line(line.decode(errors="replace")))
            show(progress.heartbeat(HEARTBEAT))
            if time.monotonic() >= deadline:
                stop(process)
                return TIMED_OUT
        return process.wait()


def stop(process: subprocess.Popen[bytes]) -> None:
    """End make, which ends its steps and removes their incomplete results."""
    process.terminate()
    try:
        process.wait(TIME_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()


def show(text: str | None) -> None:
    """Show a line to the user at once."""
    if text is not None:
        display.display(f"  {time.strftime('%H:%M:%S')} {text}")
