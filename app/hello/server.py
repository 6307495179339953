# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""hello: a web service that answers only requests with the right token."""

from __future__ import annotations

import hmac
import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

VERSION = Path(__file__).with_name("VERSION").read_text(encoding="utf-8").strip()

# The header with the token
HEADER = "X-Auth-Token"

# Paths of probes, which are logged only when they fail, and methods that may become the value of a label.
PROBES = {"/healthz", "/readyz", "/metrics"}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

# gunicorn restarts a dead worker, which Kubernetes does not notice. After this exit code (WORKER_BOOT_ERROR of its
# arbiter) gunicorn stops itself instead, so a panic ends the container.
PANIC_EXIT_CODE = 3
LONGEST_DELAY_SEC = 300

access_log = logging.getLogger("hello.access")
log = logging.getLogger("hello")


class ConfigError(Exception):
    """A setting is invalid, so the service cannot start."""


def _token(environ: Mapping[str, str], name: str) -> str:
    token = environ.get(name, "")
    # HTTP removes spaces around the value of a header, so a token with them could never match.
    if not token or not token.isprintable() or token != token.strip():
        raise ConfigError(
            f"{name} must be one line of printable text without spaces at its ends (in Kubernetes: a key of a Secret)"
        )
    return token


def _number(environ: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = environ.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise ConfigError(f"{name} must be a number from 0 to {most:g}, not {text!r} (default: {default:g})")
    return value


def _flag(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "false")
    if text not in ("true", "false"):
        raise ConfigError(f"{name} must be 'true' or 'false', not {text!r} (default: 'false')")
    return text == "true"


@dataclass(frozen=True)
class Settings:
    """The validated settings from the environment variables."""

    token: str = field(repr=False)
    fail_rate: float = 0
    delay_sec: float = 0
    faults_enabled: bool = False

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings, or raise a ConfigError that names the variable and its valid values."""
        return cls(
            token=_token(environ, "AUTH_TOKEN"),
            fail_rate=_number(environ, "FAIL_RATE", cls.fail_rate, most=1),
            delay_sec=_number(environ, "DELAY_SEC", cls.delay_sec, most=LONGEST_DELAY_SEC),
            faults_enabled=_flag(environ, "FAULTS_ENABLED"),
        )


class JsonFormatter(logging.Formatter):
    """Format records as one JSON object per line, with the record's `fields` in addition to the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class Metrics:
    """The service's metrics, in a separate registry so that two services can run in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.requests = Counter(
            "hello_http_requests_total",
            "Requests answered, by method, route and status code.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.app_duration = Histogram(
            "hello_app_duration_seconds",
            "Duration of each request of /app, by outcome.",
            ["outcome"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        for outcome in ("success", "refused", "failure"):
            self.app_duration.labels(outcome)  # present from the start: a rate needs a first zero
        build = Gauge("hello_build_info", "Always 1; the labels name the build.", ["version"], registry=self.registry)
        build.labels(VERSION).set(1)


def panic() -> None:
    """End the process at once like a crash."""
    os._exit(PANIC_EXIT_CODE)


def text(body: str, status: int = 200) -> Response:
    """Return a plain-text response."""
    return Response(f"{body}\n", status, mimetype="text/plain")


def create_app(
    settings: Settings | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
    die: Callable[[], None] = panic,
) -> Flask:
    """Create the service. By default read the settings from the environment."""
    settings = settings or Settings.from_environ(os.environ)
    app = Flask(__name__)
    metrics = Metrics()
    expected = settings.token.encode()
    healthy, ready = threading.Event(), threading.Event()
    healthy.set()
    ready.set()

    @app.before_request
    def begin() -> None:
        g.started = clock()

    @app.after_request
    def finish(response: Response) -> Response:
        seconds = clock() - g.started
        route = request.url_rule.rule if request.url_rule else "unmatched"
        method = request.method if request.method in METHODS else "other"
        metrics.requests.labels(method, route, response.status_code).inc()
        if request.path not in PROBES or response.status_code >= 400:
            # Log the path without its query and no header except the request id, because others may contain secrets.
            fields = {
                "method": request.method,
                "path": request.path,
                "status": response.status_code,
                "duration_ms": round(seconds * 1000, 3),
                "remote": request.remote_addr,
                "request_id": request.headers.get("X-Request-Id"),
            }
            access_log.info("request", extra={"fields": fields})
        return response

    def authorized() -> bool:
        # WSGI decodes headers as Latin-1. This restores the bytes that the client sent.
        given = request.headers.get(HEADER, "").encode("latin-1")
        return hmac.compare_digest(given, expected)

    @app.get("/app")
    def hello() -> Response:
        begun, outcome = clock(), "failure"
        try:
            if not authorized():
                outcome = "refused"
                response = text(f"The header {HEADER} is missing or wrong.", 401)
                response.headers["WWW-Authenticate"] = 'Token realm="hello"'
                return response
            if settings.delay_sec:
                sleep(settings.delay_sec)
            if chance() < settings.fail_rate:
                return text("The request failed, because FAIL_RATE is set.", 500)
            outcome = "success"
            return text("Hello World")
        finally:
            # Use `finally`: a latency that only some outcomes record would be misleading.
            metrics.app_duration.labels(outcome).observe(clock() - begun)

    @app.get("/healthz")
    def healthz() -> Response:
        return text("ok") if healthy.is_set() else text("unhealthy: switched off by /healthz/disable", 503)

    @app.get("/readyz")
    def readyz() -> Response:
        return text("ready") if ready.is_set() else text("not ready: switched off by /readyz/disable", 503)

    @app.get("/version")
    def version() -> Response:
        return text(VERSION)

    @app.get("/metrics")
    def expose() -> Response:
        return Response(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST)

    running = {
        "version": VERSION,
        "fail_rate": settings.fail_rate,
        "delay_sec": settings.delay_sec,
        "faults_enabled": settings.faults_enabled,
    }
    log.info("started", extra={"fields": running})
    if settings.faults_enabled:
        _add_faults(app, {"/healthz": healthy, "/readyz": ready}, sleep, die)
    return app


def _add_faults(
    app: Flask, switches: dict[str, threading.Event], sleep: Callable[[float], None], die: Callable[[], None]
) -> None:
    """Add endpoints that break this replica, with the paths that podinfo uses."""
    log.warning("FAULTS_ENABLED is true: anyone who can reach this service can break it")

    def switch(path: str, event: threading.Event, on: bool) -> None:
        def flip() -> Response:
            (event.set if on else event.clear)()
            return text(f"{path} {'enabled' if on else 'disabled'}", 202)

        rule = f"{path}/{'enable' if on else 'disable'}"
        app.add_url_rule(rule, endpoint=rule, view_func=flip, methods=["POST"])

    for path, event in switches.items():
        switch(path, event, on=True)
        switch(path, event, on=False)

    @app.route("/panic", methods=["GET", "POST"])
    def crash() -> Response:
        log.critical("/panic was called: ending the process")
        die()
        return text("still alive", 500)

    @app.get("/delay/<int:seconds>")
    def delay(seconds: int) -> Response:
        if seconds > LONGEST_DELAY_SEC:
            return text(f"a delay is at most {LONGEST_DELAY_SEC} seconds, not {seconds}", 400)
        sleep(seconds)
        return text(f"waited {seconds} s")

    @app.get("/status/<int:code>")
    def status(code: int) -> Response:
        if not 200 <= code <= 599:
            return text(f"a status code is from 200 to 599, not {code}", 400)
        return text(f"status {code}", code)
