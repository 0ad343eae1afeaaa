"""Liveness, readiness and metrics of a service."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.responses import JSONResponse, Response

Check = Callable[[], Awaitable[str | None]]
CHECK_SECONDS = 3.0


def database_check(engine: AsyncEngine) -> Check:
    """A check that the database answers."""

    async def check() -> str | None:
        try:
            async with engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            return f"the database does not answer ({type(error).__name__})"
        return None

    return check


async def _run(checks: Mapping[str, Check]) -> dict[str, str]:
    async def one(name: str, check: Check) -> tuple[str, str | None]:
        try:
            return name, await asyncio.wait_for(check(), CHECK_SECONDS)
        except TimeoutError:
            return name, f"no answer within {CHECK_SECONDS:.0f} s"
        except Exception as error:
            return name, f"the check failed ({type(error).__name__})"

    results = await asyncio.gather(*(one(name, check) for name, check in checks.items()))
    return {name: problem for name, problem in results if problem is not None}


def health_router(
    *, ready: Mapping[str, Check], live: Mapping[str, Check] | None = None, notes: Mapping[str, Check] | None = None
) -> APIRouter:
    """`/health/live`, `/health/ready` (503 that names what is not ready) and `/metrics`.

    Args:
        ready: what must work before the service is sent work.
        live: what, broken, only a restart mends.
        notes: what is reported beside but does not make the service unready.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/health/live")
    async def is_live() -> Response:
        problems = await _run(live or {})
        return JSONResponse(
            {"status": "not live", "problems": problems} if problems else {"status": "live"}, 503 if problems else 200
        )

    @router.get("/health/ready")
    async def is_ready() -> Response:
        problems, beside = await _run(ready), await _run(notes or {})
        body: dict[str, object] = {"status": "not ready", "problems": problems} if problems else {"status": "ready"}
        if beside:
            body["notes"] = beside
        return JSONResponse(body, 503 if problems else 200)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
