# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The publisher's process: git-sync's webhook on loopback, metrics and probes for the cluster."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import sys
import threading
import time
import typing as t
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from . import VERSION
from .content import COMMIT, Content
from .kube import ConfigMap
from .publisher import ConfigError, Metrics, Publisher, Settings

# Maximum wait of a webhook. It is shorter than git-sync's --webhook-timeout, so that git-sync receives the reason.
PATIENCE = 8.0
TEXT = "text/plain; charset=utf-8"
ENDING = {signal.SIGTERM, signal.SIGINT}
# Time to finish a running write
GRACE = 10.0

Answer = tuple[int, str, bytes]


def log(level: str, message: str, **fields: t.Any) -> None:
    """Write one line of JSON."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": when, "level": level, "message": message, **fields}), flush=True)


def text(status: int, message: str) -> Answer:
    """Return a plain-text response."""
    return status, TEXT, f"{message}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Log the error of one request, except a closed connection."""
        if not isinstance(error := sys.exception(), OSError):
            log("error", f"a request from {client_address[0]} failed: {error!r}")


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    """Base class of both servers' handlers."""

    server_version = "commit-publisher"
    sys_version = ""
    timeout = 30  # of an idle connection

    def answer(self, answer: Answer) -> None:
        status, content_type, body = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  BaseHTTPRequestHandler names this parameter
        """Do not log requests; the code logs relevant events itself."""


def webhook(publish: Callable[[str, float], str], patience: float) -> type[_Handler]:
    """Create the handler that git-sync calls for each new commit. git-sync retries with the newest one until 200."""

    class Webhook(_Handler):
        def do_POST(self) -> None:
            commit = self.headers.get("Gitsync-Hash", "")
            if self.path != "/":
                self.answer(text(404, "not found: post to /"))
            elif not COMMIT.fullmatch(commit):
                self.answer(text(400, "the header Gitsync-Hash must be a full commit: 40 or 64 hexadecimal digits"))
            elif problem := publish(commit, patience):
                self.answer(text(503, f"{commit} is not published: {problem}"))
            else:
                self.answer(text(200, f"{commit} is published"))

    return Webhook


def probes(publisher: Publisher, metrics: Metrics) -> type[_Handler]:
    """Create the handler for requests of the kubelet and Prometheus."""

    def ready() -> Answer:
        if publisher.published:
            return text(200, f"{publisher.published} is published")
        return text(503, f"nothing is published yet: {publisher.problem}")

    pages: dict[str, Callable[[], Answer]] = {
        "/healthz": lambda: text(200, "ok"),
        "/readyz": ready,
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(metrics.registry)),
    }

    class Probes(_Handler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            self.answer(page() if page else text(404, "not found"))

    return Probes


def address(environ: Mapping[str, str], name: str, default: str) -> tuple[str, int]:
    """Read an address to listen on."""
    value = environ.get(name, default)
    host, _, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(f"{name} must be an IP address and a port, as in {default}, not {value!r}") from error
    return host.strip("[]"), number


def serve(where: tuple[str, int], handler: type[_Handler]) -> ThreadingHTTPServer:
    """Answer requests in separate threads."""
    kind = _Server6 if ":" in where[0] else _Server
    server = kind(where, handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    return server


def main(environ: Mapping[str, str]) -> int:
    """Run until a signal arrives or the publishing thread dies."""
    try:
        settings = Settings.from_environ(environ)
        hook = address(environ, "WEBHOOK_BIND", "127.0.0.1:8080")
        if not ipaddress.ip_address(hook[0]).is_loopback:
            raise ConfigError(f"WEBHOOK_BIND must be a loopback address, not {hook[0]}: it requires no credentials")
        bind = address(environ, "METRICS_BIND", "0.0.0.0:8081")
        if not {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} <= environ.keys():
            raise ConfigError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: run this in a Pod")
    except ConfigError as error:
        print(f"commit-publisher: {error}", file=sys.stderr)
        return 2
    # Block signals before any thread starts, so that all threads inherit this. Only sigwait below receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    metrics = Metrics(settings.workload)
    config_map = ConfigMap.in_cluster(settings.namespace, settings.config_map, environ)
    publisher = Publisher(settings, Content(Path(settings.link)), config_map, metrics, log)
    died = threading.Event()

    def on_death(failure: threading.ExceptHookArgs) -> None:
        log("fatal", f"{failure.exc_type.__name__}: {failure.exc_value}")
        died.set()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.excepthook = on_death
    servers = [serve(hook, webhook(publisher.publish, PATIENCE)), serve(bind, probes(publisher, metrics))]
    worker = threading.Thread(target=publisher.run, daemon=True)
    worker.start()
    log("info", "started", version=VERSION, workload=settings.workload, config_map=settings.config_map)
    signal.sigwait(ENDING)
    publisher.stop()
    worker.join(timeout=GRACE)
    for server in servers:
        server.shutdown()
    return 1 if died.is_set() else 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
