# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hooks that run for each new commit. A failed hook runs again, with the newest commit, until it succeeds."""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from .children import Children, Deadline, Ending, Failed
from .flags import Options
from .log import Log
from .metrics import Metrics

Do = Callable[[str], None]


class Hook:
    """Run one hook in a separate thread."""

    def __init__(self, name: str, do: Do, backoff: float, metrics: Metrics, log: Log) -> None:
        self._name = name
        self._do = do
        self._backoff = backoff
        self._metrics = metrics
        self._log = log
        self._changed = threading.Condition()
        self._newest = ""
        self._tried: bool | None = None
        for status in ("success", "error"):
            metrics.add("git_sync_hook_run_count_total", 0, name=name, status=status)

    def start(self) -> None:
        """Start the thread, which waits for commits."""
        threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def send(self, commit: str) -> None:
        """Run the hook for a commit, unless a newer one arrives before."""
        with self._changed:
            self._newest = commit
            self._changed.notify_all()

    def first(self) -> bool:
        """Wait until the hook has run once and return whether it succeeded."""
        with self._changed:
            self._changed.wait_for(lambda: self._tried is not None)
            return bool(self._tried)

    def _run(self) -> None:
        done = ""
        while True:
            with self._changed:
                while self._newest == done:
                    self._changed.wait()
                commit = self._newest
            try:
                self._do(commit)
            except Ending:
                return
            except Failed as error:
                self._tell("error")
                how = {"hook": self._name, "hash": commit, "retry": f"{self._backoff:g}s"}
                self._log.fail("hook failed", error, keep=False, **how)
                time.sleep(self._backoff)
            else:
                done = commit
                self._log.say("hook succeeded", hook=self._name, hash=commit)
                self._tell("success")

    def _tell(self, status: str) -> None:
        self._metrics.add("git_sync_hook_run_count_total", name=self._name, status=status)
        with self._changed:
            if self._tried is None:
                self._tried = status == "success"
                self._changed.notify_all()


def webhook(options: Options) -> Do:
    """Create a hook that calls a URL. It ignores proxies, because the receiver is in the same Pod."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(commit: str) -> None:
        request = urllib.request.Request(  # noqa: S310  flags.py accepts only http and https
            options.webhook_url, headers={"Gitsync-Hash": commit}, method=options.webhook_method
        )
        try:
            with opener.open(request, timeout=options.webhook_timeout) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            with error:
                status = error.code
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failed(f"{options.webhook_method} {options.webhook_url}: {error}") from error
        if options.webhook_success_status not in (0, status):
            expected = options.webhook_success_status
            raise Failed(f"{options.webhook_method} {options.webhook_url}: status {status}, expected {expected}")

    return call


def exechook(
    options: Options, children: Children, environment: Mapping[str, str], worktree: Callable[[str], Path]
) -> Do:
    """Create a hook that runs a program without arguments in the worktree of the commit."""

    def run(commit: str) -> None:
        deadline = Deadline(options.exechook_timeout, "--exechook-timeout")
        made = {**environment, "GITSYNC_HASH": commit}
        try:
            children.run([options.exechook_command], deadline, made, cwd=worktree(commit))
        except Failed as error:
            raise Failed(f"{options.exechook_command}: {error}") from None

    return run
