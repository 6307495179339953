# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of git-sync, its loop, its probes and its metrics."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .children import Children, Deadline, Ending, Failed
from .flags import Options, Wrong, parse
from .git import Git, environment
from .hooks import Hook, exechook, webhook
from .log import Log
from .metrics import Metrics
from .repository import Repository


class Syncer:
    """Sync repeatedly and notify the hooks."""

    def __init__(self, options: Options, repository: Repository, hooks: list[Hook], metrics: Metrics, log: Log) -> None:
        self.ready = False
        self._options = options
        self._repository = repository
        self._hooks = hooks
        self._metrics = metrics
        self._log = log
        self._failures = 0

    def run(self) -> int:
        """Sync until there is a reason to exit, and return the exit status."""
        options = self._options
        while True:
            deadline = Deadline(options.sync_timeout, "--sync-timeout")
            started = time.monotonic()
            try:
                changed, commit = self._repository.sync(deadline)
            except (Failed, OSError) as error:
                self._metrics.synced("error", time.monotonic() - started)
                self._failures += 1
                most = options.max_failures if self.ready else options.init_max_failures
                if 0 <= most <= self._failures:
                    self._log.fail("too many failures, aborting", error, failCount=self._failures, maxFailures=most)
                    return 1
                self._log.fail("error syncing repo, will retry", error, failCount=self._failures)
            else:
                self._synced(commit, deadline, changed=changed or not self.ready, seconds=time.monotonic() - started)
                if options.one_time:
                    # Wait for each hook, whatever the result of the others.
                    succeeded = [hook.first() for hook in self._hooks]
                    status = 0 if all(succeeded) else 1
                    self._log.say("exiting after one sync", status=status)
                    return status
                if commit == options.ref:
                    self._log.say("ref appears to be a git hash, no further sync needed", ref=options.ref)
                    while True:
                        time.sleep(3600)
            time.sleep(options.period if self.ready else options.init_period)

    def _synced(self, commit: str, deadline: Deadline, *, changed: bool, seconds: float) -> None:
        self._failures = 0
        self._log.clear()
        if changed:
            self._touch()
            for hook in self._hooks:
                hook.send(commit)
        self._metrics.synced("success" if changed else "noop", seconds)
        self.ready = True
        try:
            self._repository.clear(deadline)
        except (Failed, OSError) as error:
            self._log.fail("clearing old worktrees failed, will retry", error)

    def _touch(self) -> None:
        if not self._options.touch_file:
            return
        path = self._options.path(self._options.touch_file)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path)
        except OSError as error:
            self._log.fail("failed to touch the touch file", error, path=str(path))


def handler(ready: Callable[[], bool], metrics: Metrics | None) -> type[BaseHTTPRequestHandler]:
    """Create the handler for probes and Prometheus. Like upstream's, it always answers 200 after the first sync."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if metrics and self.path == "/metrics":
                status, text = 200, metrics.render()
            else:
                status, text = (200, "") if ready() else (503, "repo is not ready\n")
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815  the name that the class it extends looks for

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
            """Do not log requests: probes arrive every few seconds."""

    return Handler


def serve(bind: tuple[str, int], answer: type[BaseHTTPRequestHandler]) -> None:
    """Answer requests in separate threads."""
    server = ThreadingHTTPServer(bind, answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def assemble(options: Options, children: Children, log: Log) -> tuple[Syncer, Metrics]:
    """Create the parts and start the hooks, which wait for commits."""
    made = environment(options, os.environ)
    metrics = Metrics()
    repository = Repository(options, Git(options, children, made), log, lambda: metrics.add("git_fetch_count_total"))
    hooks = []
    if options.webhook_url:
        hooks.append(Hook("webhook", webhook(options), options.webhook_backoff, metrics, log))
    if options.exechook_command:
        run = exechook(options, children, {**os.environ, **made}, repository.worktree)
        hooks.append(Hook("exechook", run, options.exechook_backoff, metrics, log))
    for hook in hooks:
        hook.start()
    return Syncer(options, repository, hooks, metrics, log), metrics


def main(arguments: list[str]) -> int:
    """Run until a signal arrives or there is a reason to exit."""
    try:
        options = parse(arguments, os.environ)
    except Wrong as error:
        Log().fail("wrong flags, aborting", error)
        return 1
    log = Log(options.verbose, options.path(options.error_file) if options.error_file else None)
    os.umask(0o002 if options.group_write else 0o022)
    where = f"{options.ref} of {options.repo}, at {options.path(options.link)}"
    log.say(f"Drystone's stand-in for git-sync follows {where}", uid=os.getuid(), gid=os.getgid())
    # Threads write the reason to exit to this pipe: a status, or the number of a signal. An event is not sufficient,
    # because a signal that another thread receives does not wake the main thread from it.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    statuses: list[int] = []

    def end(status: int) -> None:
        statuses.append(status)
        os.write(writing, b"\0")

    def on_death(failure: threading.ExceptHookArgs) -> None:
        log.fail("git-sync has a fault, aborting", f"{failure.exc_type.__name__}: {failure.exc_value}")
        end(1)

    threading.excepthook = on_death
    signal.set_wakeup_fd(writing)
    # The first process of a container receives only signals for which it has a handler.
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)
    children = Children()
    syncer, metrics = assemble(options, children, log)
    if options.http_bind:
        try:
            serve(options.http_bind, handler(lambda: syncer.ready, metrics if options.http_metrics else None))
        except OSError as error:
            log.fail("can't answer probes, aborting", error, bind=options.http_bind)
            return 1

    def work() -> None:
        with contextlib.suppress(Ending):
            end(syncer.run())

    threading.Thread(target=work, daemon=True).start()
    number = os.read(reading, 1)[0]
    children.end()
    return 128 + number if number else statuses[0]


if __name__ == "__main__":
    # Exit at once: other threads may still run, and an orderly exit of the interpreter could abort because of them.
    os._exit(main(sys.argv[1:]))
