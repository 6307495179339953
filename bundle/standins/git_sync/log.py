# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log one line of JSON for each event, and keep the current error in a file."""

from __future__ import annotations

import datetime as dt
import json
import sys
import threading
import typing as t
from pathlib import Path


class Log:
    """A log for any number of threads."""

    def __init__(self, verbose: int = 0, error_file: Path | None = None) -> None:
        self._verbose = verbose
        self._error_file = error_file
        self._lock = threading.Lock()

    def say(self, message: str, level: int = 0, **values: t.Any) -> None:
        """Log an event if the verbosity is high enough."""
        if level <= self._verbose:
            self._write({"level": level, "msg": message, **values})

    def fail(self, message: str, error: object, *, keep: bool = True, **values: t.Any) -> None:
        """Log an error, and by default write it to the error file, which is only for syncs."""
        self._write({"level": "error", "msg": message, "error": str(error), **values})
        if self._error_file is None or not keep:
            return
        text = json.dumps({"Msg": message, "Err": str(error), "Args": values})
        # Replace the file atomically, so that readers never see an incomplete one.
        partial = self._error_file.with_name(f".{self._error_file.name}.partial")
        try:
            self._error_file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(text)
            partial.replace(self._error_file)
        except OSError as failure:
            self._write({"level": "error", "msg": "can't write the error file", "error": str(failure)})

    def clear(self) -> None:
        """Remove the error file, because there is no current error."""
        if self._error_file is not None:
            try:
                self._error_file.unlink(missing_ok=True)
            except OSError as failure:
                self._write({"level": "error", "msg": "can't remove the error file", "error": str(failure)})

    def _write(self, values: dict[str, t.Any]) -> None:
        when = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"ts": when, **values})
        with self._lock:
            print(line, file=sys.stderr, flush=True)
