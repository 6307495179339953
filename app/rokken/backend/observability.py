# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs as JSON lines and metrics for Prometheus. Neither contains a password or the content of an item."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine, QueuePool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import VERSION

# Paths of probes, which are logged only when they fail, and methods that may become the value of a label
PROBES = {"/healthz", "/readyz", "/metrics"}
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

access_log = logging.getLogger("rokken.access")


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


def configure_logging() -> None:
    """Log everything to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Alembic reports each step of a migration, and migrate.py reports the result.
    logging.getLogger("alembic").setLevel(logging.WARNING)


class PoolCollector(Collector):
    """Count the connections of the pool when Prometheus asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily("rokken_database_connections", "Connections of the pool.", labels=["state"])
        pool = self._engine.pool
        if isinstance(pool, QueuePool):
            family.add_metric(["idle"], pool.checkedin())
            family.add_metric(["used"], pool.checkedout())
            family.add_metric(["limit"], pool.size())
        yield family


class Metrics:
    """The service's metrics, in a separate registry so that two services can run in one process."""

    def __init__(self, engine: Engine) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.registry.register(PoolCollector(engine))
        self.requests = Counter(
            "rokken_http_requests_total",
            "Requests answered, by method, route and status code.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "rokken_http_request_duration_seconds",
            "Duration of each request, by method and route.",
            ["method", "route"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.database_errors = Counter(
            "rokken_database_errors_total",
            "Requests that failed because of the database, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.ready = Gauge("rokken_ready", "1 if the last readiness probe succeeded.", registry=self.registry)
        build = Gauge("rokken_build_info", "Always 1; the labels name the build.", ["version"], registry=self.registry)
        build.labels(VERSION).set(1)


class Observe:
    """Count, measure and log each request. Log the path without its query and no body, because both are of users."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note)
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self.metrics.requests.labels(method, route, status).inc()
        self.metrics.duration.labels(method, route).observe(seconds)
        if scope["path"] in PROBES and status < 400:
            return
        headers = dict(scope["headers"])
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
            "remote": scope["client"][0] if scope.get("client") else None,
            "request_id": headers.get(b"x-request-id", b"").decode("latin-1") or None,
        }
        access_log.info("request", extra={"fields": fields})
