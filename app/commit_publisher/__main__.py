# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The publisher as a process: git-sync's webhook on loopback; metrics and probes for the cluster."""

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

# How long a webhook is kept waiting: less than git-sync's --webhook-timeout, so that it hears the reason.
PATIENCE = 8.0
TEXT = "text/plain; charset=utf-8"
ENDING = {signal.SIGTERM, signal.SIGINT}
# A write that is under way may end.
GRACE = 10.0

Answer = tuple[int, str, bytes]


def log(level: str, message: str, **fields: t.Any) -> None:
    """Write one line of JSON."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    print(json.dumps({"time": when, "level": level, "message": message, **fields}), flush=True)


def text(status: int, message: str) -> Answer:
    """Give a plain-text answer."""
    return status, TEXT, f"{message}\n".encode()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Log what went wrong with one request; somebody who hung up is none of it."""
        if not isinstance(error := sys.exception(), OSError):
            log("error", f"a request from {client_address[0]} failed: {error!r}")


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    """What both servers have in common."""

    server_version = "commit-publisher"
    sys_version = ""
    timeout = 30  # of a connection on which nothing is said

    def answer(self, answer: Answer) -> None:
        status, content_type, body = answer
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: t.Any) -> None:  # noqa: A002  the name of the method it replaces
        """Say nothing: what matters is logged where it happens."""


def webhook(publish: Callable[[str, float], str], patience: float) -> type[_Handler]:
    """Make what git-sync tells about each new commit. It asks again, with the newest, until it hears 200."""

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
    """Make what the kubelet and Prometheus ask."""

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
    """Read where to listen."""
    value = environ.get(name, default)
    host, _, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(f"{name} must be an IP address and a port, as in {default}, not {value!r}") from error
    return host.strip("[]"), number


def serve(where: tuple[str, int], handler: type[_Handler]) -> ThreadingHTTPServer:
    """Answer requests in threads of their own."""
    kind = _Server6 if ":" in where[0] else _Server
    server = kind(where, handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    return server


def main(environ: Mapping[str, str]) -> int:
    """Run until told to end, or until the thread that publishes dies."""
    try:
        settings = Settings.from_environ(environ)
        hook = address(environ, "WEBHOOK_BIND", "127.0.0.1:8080")
        if not ipaddress.ip_address(hook[0]).is_loopback:
            raise ConfigError(f"WEBHOOK_BIND must be a loopback address, not {hook[0]}: it asks for no credentials")
        bind = address(environ, "METRICS_BIND", "0.0.0.0:8081")
        if not {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"} <= environ.keys():
            raise ConfigError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this runs in a Pod")
    except ConfigError as error:
        print(f"commit-publisher: {error}", file=sys.stderr)
        return 2
    # Before there is any thread, so that every one inherits it: signals are taken below and nowhere else.
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
