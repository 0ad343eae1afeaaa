"""The web application that every service has: problems, health, metrics, one log line a request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from prometheus_client import Histogram
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.kit.http import problems
from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify
from shared.kit.messaging.tracing import trace

log = get_logger("readmit.http")

requests_seconds = Histogram(
    "readmit_http_request_seconds", "Time to answer, by route.", ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)  # fmt: skip
CLIENT_GONE = 499  # in logs and metrics only: nobody is there to read an answer
_QUIET = ("/health/", "/metrics", "/static/")


class RequestLog:
    """One log line and one measurement a request; the path's template, never the query string or the path itself.

    It is also where errors end that nobody expected: here, and not in the server, their log line has the trace.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, answering = time.perf_counter(), 500, False
        headers = dict(scope["headers"])

        async def observe(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
            await send(message)

        with trace(headers.get(b"traceparent", b"").decode("latin-1")):
            try:
                await self._app(scope, receive, observe)
            except ClientDisconnect:
                status = CLIENT_GONE
            except Exception as error:
                if classify(error) is Disposition.RETRY:  # a database that restarts is no mistake of ours
                    status, answer = 503, problems.away(scope["method"]).response()
                    log.warning("http.unavailable", method=scope["method"], route=_route(scope), exc_info=error)
                else:
                    status, answer = 500, problems.internal_error()
                    log.error("http.failed", method=scope["method"], route=_route(scope), exc_info=error)
                if answering:
                    raise  # the server cuts the connection, so that half an answer is not taken for one
                await answer(scope, receive, send)
            finally:
                elapsed = time.perf_counter() - started
                route = _route(scope)
                requests_seconds.labels(scope["method"], route, status).observe(elapsed)
                if not scope["path"].startswith(_QUIET):
                    log.info(
                        "http.answered",
                        method=scope["method"],
                        route=route,
                        status=status,
                        milliseconds=round(elapsed * 1000, 2),
                    )


def _route(scope: Scope) -> str:
    return str(getattr(scope.get("route"), "path", "unmatched"))


class DirectRoute(Route):
    """A route past FastAPI's own handling (dependencies, response models), which is a sixth of what a request costs:
    for one that is asked for thousands of times a second. Its entry in `/openapi.json` is a router's, as any other's.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = self
        await super().handle(scope, receive, send)


def create_app(
    *,
    title: str,
    description: str,
    version: str,
    routers: Sequence[APIRouter],
    lifespan: Any,
    openapi: bool,
    direct: Sequence[DirectRoute] = (),
) -> FastAPI:
    """The application of a service.

    Args:
        routers: its routes, the health router among them.
        direct: routes that come before those of the routers.
        lifespan: a context manager factory that starts and stops what runs beside.
        openapi: whether `/openapi.json` is served (services with an HTTP interface).
    """
    app = FastAPI(
        title=title,
        description=description,
        version=version,
        lifespan=lifespan,
        openapi_url="/openapi.json" if openapi else None,
        docs_url=None,  # Swagger UI loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    problems.install(app)
    app.router.routes.extend(direct)
    for router in routers:
        app.include_router(router)
    app.add_middleware(RequestLog)
    return app
