# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# PRIVATE to the collection: it may change without notice.

"""Show the progress of a long build from the lines that the build graph prints.

Every recipe of the graph prints C(HH:MM:SS step) when it starts. C(make --dry-run) prints the same lines as commands.
The duration of each step is saved after a build, and the next build estimates the remaining time from it.
"""

from __future__ import annotations

import json
import os
import re
import typing as t

STEP = re.compile(r"^\d\d:\d\d:\d\d (?P<step>\S.*)$")
PLANNED = re.compile(r"^printf '%\(%H:%M:%S\)T %s\\n' -1 '(?P<step>.*)'$")


def planned_steps(dry_run: str) -> list[str]:
    """Return the steps that C(make --dry-run) lists, in its order."""
    return [found["step"] for line in dry_run.splitlines() if (found := PLANNED.match(line))]


def duration(seconds: float) -> str:
    """Format a duration, such as 12 s or 3 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


class Progress:
    """The progress of one build.

    A step ends when the next one starts. If several steps run in parallel, the sum of these durations is still the
    duration of the build.
    """

    def __init__(self, steps: list[str], learned: dict[str, float], clock: t.Callable[[], float]) -> None:
        self.steps = steps
        self._learned = learned
        self._clock = clock
        self._began = self._step_began = self._told = clock()
        self._current = ""
        self.done: dict[str, float] = {}

    def line(self, text: str) -> str | None:
        """Return the text to show for a line of the build, or None if the line does not start a step."""
        found = STEP.match(text)
        if found is None:
            return None
        self._finish()
        self._current = found["step"]
        self._step_began = self._clock()
        return self._say(f"[{len(self.done) + 1}/{max(len(self.steps), len(self.done) + 1)}] {self._current}")

    def heartbeat(self, every: float) -> str | None:
        """Return a sign of life if nothing was shown for C(every) seconds, else None."""
        if not self._current or self._clock() - self._told < every:
            return None
        return self._say(f"still running {self._current} after {duration(self._clock() - self._step_began)}")

    def finish(self) -> float:
        """End the last step, and return the duration of the build in seconds."""
        self._finish()
        return self._clock() - self._began

    def _finish(self) -> None:
        if self._current:
            self.done[self._current] = round(self._clock() - self._step_began, 1)
            self._current = ""

    def _say(self, text: str) -> str:
        self._told = self._clock()
        left = self._left()
        return text if left is None else f"{text}, about {duration(left)} left"

    def _left(self) -> float | None:
        """Return the estimated remaining seconds, or None if the duration of a remaining step is unknown."""
        waiting = [step for step in self.steps if step not in self.done and step != self._current]
        if any(step not in self._learned for step in [*waiting, self._current]):
            return None
        rest_of_current = max(0.0, self._learned[self._current] - (self._clock() - self._step_began))
        return rest_of_current + sum(self._learned[step] for step in waiting)


def read_learned(path: str) -> dict[str, float]:
    """Read the seconds of each step. Return an empty dict if the file does not exist or is invalid."""
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(step): float(seconds) for step, seconds in content.items() if isinstance(seconds, (int, float))}


def write_learned(path: str, learned: dict[str, float]) -> None:
    """Write the seconds of each step. Replace the file atomically."""
    partial = f"{path}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(learned, file, indent=1, sort_keys=True)
    os.replace(partial, path)
