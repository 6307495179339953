# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""git-sync's metrics with upstream's names, in Prometheus' text format."""

from __future__ import annotations

import threading

NAMES = {
    "git_sync_count_total": ("counter", "Number of completed syncs, by state (success, error, noop)."),
    "git_sync_duration_seconds": ("summary", "Duration of syncs, by state."),
    "git_fetch_count_total": ("counter", "Number of fetches with changes, including the first one of the process."),
    "git_sync_hook_run_count_total": ("counter", "Number of completed runs of hooks, by name and state."),
}
_SUFFIXES = {"counter": ("",), "summary": ("_sum", "_count")}


class Metrics:
    """All metrics, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[str, float]] = {}
        # Create the series at the start, so that a rate includes the first event.
        for status in ("success", "error", "noop"):
            self.add("git_sync_count_total", 0, status=status)
        self.add("git_fetch_count_total", 0)

    def add(self, series: str, by: float = 1, /, **labels: str) -> None:
        """Increase a series."""
        shown = ",".join(f'{key}="{value}"' for key, value in labels.items())
        with self._lock:
            values = self._values.setdefault(series, {})
            values[shown] = values.get(shown, 0) + by

    def synced(self, status: str, seconds: float) -> None:
        """Count a completed sync."""
        self.add("git_sync_count_total", status=status)
        self.add("git_sync_duration_seconds_sum", seconds, status=status)
        self.add("git_sync_duration_seconds_count", status=status)

    def render(self) -> str:
        """Return all metrics in Prometheus' text format."""
        lines = []
        with self._lock:
            for name, (kind, meaning) in NAMES.items():
                lines += [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]
                for series in (name + suffix for suffix in _SUFFIXES[kind]):
                    for labels, value in sorted(self._values.get(series, {}).items()):
                        lines.append(f"{series}{{{labels}}} {value:g}" if labels else f"{series} {value:g}")
        return "\n".join(lines) + "\n"
