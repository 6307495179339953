# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags of Reloader that Drystone uses, its probes and its metrics."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import typing as t
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .follow import Reloader
from .kube import Api
from .metrics import Metrics

PORT = 9090
# Upstream reads these variables; this program would silently ignore them, so it refuses them.
REFUSED_ENVIRONMENT = (
    "ALERT_ADDITIONAL_INFO",
    "ALERT_ON_RELOAD",
    "ALERT_SINK",
    "ALERT_WEBHOOK_URL",
    "KUBERNETES_NAMESPACE",
    "METRICS_COUNT_BY_NAMESPACE",
    "POD_NAME",
    "POD_NAMESPACE",
    "RELOADER_NAMESPACE",
)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse the flags. Flags that change the behaviour are required, because upstream's defaults differ."""
    parser = argparse.ArgumentParser(
        prog="reloader", description="Drystone's stand-in for Stakater Reloader.", allow_abbrev=False
    )
    parser.add_argument("--namespaces", required=True, type=_names, help="comma-separated namespaces to follow")
    parser.add_argument("--reload-strategy", required=True, choices=["env-vars"])
    parser.add_argument("--reload-on-create", required=True, choices=["true"])
    parser.add_argument("--sync-after-restart", required=True, choices=["true"])
    parser.add_argument("--ignored-workload-types", required=True, choices=["jobs,cronjobs"])
    parser.add_argument("--is-Argo-Rollouts", dest="rollouts", choices=["true", "false"], default="false")
    parser.add_argument("--log-format", required=True, choices=["json"])
    parser.add_argument("--log-level", choices=["info"], default="info")
    options = parser.parse_args(arguments)
    refused = [name for name in REFUSED_ENVIRONMENT if name in os.environ]
    if refused:
        parser.error(f"the environment sets {', '.join(refused)}, which only upstream's Reloader supports")
    return options


def _names(value: str) -> list[str]:
    names = [name.strip() for name in value.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"an empty name in {value!r}")
    return sorted(set(names))


def log(level: str, message: str) -> None:
    """Write one line of JSON."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"level": level, "msg": message, "time": when}), file=sys.stderr, flush=True)


def handler(metrics: Metrics, unread: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    """Create the handler for probes and Prometheus."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages = {"/live": lambda: (200, "ok\n"), "/metrics": self.metrics}
            status, text = pages.get(self.path, lambda: (404, "not found\n"))()
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @staticmethod
        def metrics() -> tuple[int, str]:
            missing = unread()
            # It is ready when it notices changes.
            return (503, f"# not read yet: {missing}\n") if missing else (200, metrics.render())

        def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
            """Do not log requests: probes arrive every few seconds."""

    return Handler


def main(arguments: list[str]) -> int:
    """Run until a signal arrives or a thread dies."""
    options = parse(arguments)
    log("info", f"Drystone's stand-in for Reloader follows {', '.join(options.namespaces)}")
    metrics = Metrics()
    host = ""

    def count(code: str, method: str) -> None:
        metrics.add("rest_client_requests_total", code=code, method=method, host=host)

    api = Api.in_cluster(count)
    host = api.host
    reloader = Reloader(api, options.namespaces, metrics, log, rollouts=options.rollouts == "true")
    died = threading.Event()

    def on_death(failure: threading.ExceptHookArgs) -> None:
        log("fatal", f"{failure.exc_type.__name__}: {failure.exc_value}")
        died.set()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.excepthook = on_death
    # Use sigwait instead of a handler: a handler that sets an event can block on the lock of the main thread's wait.
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with ThreadingHTTPServer(("", PORT), handler(metrics, reloader.unread)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reloader.start()
        signal.sigwait(ends)
        reloader.stop.set()
        server.shutdown()
    return 1 if died.is_set() else 0


if __name__ == "__main__":
    # Do not use sys.exit: the interpreter would abort if other threads still log.
    os._exit(main(sys.argv[1:]))
