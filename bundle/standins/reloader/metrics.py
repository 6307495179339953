# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters with the names of upstream's Reloader, in Prometheus' text format."""

from __future__ import annotations

import threading

NAMES = {
    "reloader_reload_executed_total": "Counter of reloads executed by Reloader.",
    "reloader_action_total": "Total number of reload actions by workload kind and result.",
    "reloader_errors_total": "Total number of errors by type.",
    "reloader_events_received_total": "Total number of events received by type and resource.",
    "reloader_retries_total": "Total number of retry attempts.",
    "rest_client_requests_total": "Number of HTTP requests, partitioned by status code, method, and host.",
}


class Metrics:
    """All counters, for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], int] = {}
        # Create the series at the start, so that a rate includes the first event.
        for success in ("true", "false"):
            self.add("reloader_reload_executed_total", 0, success=success)
        self.add("reloader_retries_total", 0)

    def add(self, name: str, by: int = 1, **labels: str) -> None:
        """Increase a counter."""
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            self._values[key] = self._values.get(key, 0) + by

    def render(self) -> str:
        """Return all counters in Prometheus' text format."""
        with self._lock:
            values = sorted(self._values.items())
        lines = []
        for name, meaning in NAMES.items():
            lines += [f"# HELP {name} {meaning}", f"# TYPE {name} counter"]
            for (of, labels), value in values:
                if of == name:
                    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
                    lines.append(f"{name}{{{shown}}} {value}" if shown else f"{name} {value}")
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
