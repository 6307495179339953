# Copyright (c) The Drystone authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The HTTP service: the items, the probes, the metrics, and the errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import VERSION
from .database import Database, DatabaseError
from .items import create_router
from .observability import Metrics, Observe
from .settings import Settings

# The largest valid item has 1,100 characters. Escaped in JSON each may need 12 bytes.
LARGEST_BODY = 16 * 1024

log = logging.getLogger("rokken")


class LimitBody:
    """Refuse a large request before it is in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Read at most one part more than the limit, then hand the application what was read.
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > LARGEST_BODY:
                detail = f"The request is larger than {LARGEST_BODY} bytes."
                await JSONResponse({"detail": detail}, 413, {"Connection": "close"})(scope, receive, send)
                return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


def describe(error: RequestValidationError) -> JSONResponse:
    """Return one sentence for all problems, and the problem of each field."""
    fields: dict[str, str] = {}
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"][1:]) or "body"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "json_invalid":
            name, message = "body", "must be valid JSON"
        fields.setdefault(name, message[:1].lower() + message[1:])
    sentence = "; ".join(f"{name}: {message}" for name, message in fields.items())
    return JSONResponse({"detail": f"The request is invalid. {sentence}.", "fields": fields}, 422)


def create_app(settings: Settings) -> FastAPI:
    """Create the service. It starts without a database and becomes ready when the database answers."""
    database = Database(settings)
    metrics = Metrics(database.engine)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        log.info("started", extra={"fields": {"version": VERSION, "database": settings.address}})
        yield
        database.close()
        log.info("stopped")

    # FastAPI's pages of the documentation load scripts from elsewhere, so only the description itself is served.
    app = FastAPI(
        title="Rokken",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.include_router(create_router(database))
    _add_errors(app, metrics)
    _add_probes(app, database, metrics)
    app.add_middleware(LimitBody)
    app.add_middleware(Observe, metrics=metrics)
    return app


def _add_errors(app: FastAPI, metrics: Metrics) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return describe(error)

    @app.exception_handler(DatabaseError)
    async def failed(_request: Request, error: DatabaseError) -> JSONResponse:
        metrics.database_errors.labels(error.reason).inc()
        log.error("the database failed", extra={"fields": {"reason": error.reason, "error": str(error)}})
        return JSONResponse({"detail": error.public}, 503, {"Retry-After": "2"})

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"detail": "The service failed. Its log has the reason."}, 500)


def _add_probes(app: FastAPI, database: Database, metrics: Metrics) -> None:
    # Readiness has its own thread: requests that wait for the database may use all others.
    one_at_a_time = anyio.CapacityLimiter(1)
    seen: list[str | None] = []

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        problem = await anyio.to_thread.run_sync(database.check, limiter=one_at_a_time)
        metrics.ready.set(problem is None)
        said = str(problem) if problem else None
        if seen != [said]:
            seen[:] = [said]
            if said:
                log.warning("not ready", extra={"fields": {"error": said}})
            else:
                log.info("ready")
        return PlainTextResponse("ready\n") if said is None else PlainTextResponse(f"not ready: {said}\n", 503)

    @app.get("/metrics", include_in_schema=False)
    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
