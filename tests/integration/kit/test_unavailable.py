"""A database that is away, or has no connection to spare, is 503 and tells when to come again; never 500."""

from __future__ import annotations

from contextlib import AsyncExitStack

import httpx
import pytest
from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.kit.db.unit import Database
from shared.kit.service import Plumbing
from shared.kit.settings import ServiceSettings
from tests.engines import PostgresEngine, free_port
from tests.integration.kit.conftest import toy_settings


def application(settings: ServiceSettings) -> tuple[Plumbing, httpx.AsyncClient]:
    """A service with a page that reads and one that writes. Its other parts are not started."""
    plumbing = Plumbing.build(settings)
    app = plumbing.application(title="toy", description="toy", routers=[router(plumbing.database)], needs_broker=False)
    return plumbing, httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://toy", timeout=20)


def router(database: Database) -> APIRouter:
    made = APIRouter()

    @made.get("/read")
    async def read(_: Request) -> Response:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
        return JSONResponse({})

    @made.post("/write")
    async def write(_: Request) -> Response:
        async with database.begin():
            return JSONResponse({})

    @made.get("/wrong")
    async def wrong(_: Request) -> Response:
        async with database.read() as connection:
            await connection.execute(text("SELECT no_such_function()"))
        return JSONResponse({})

    return made


def says_come_again(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nothing was" not in answer.text
    return answer.status_code == 503 and int(answer.headers["retry-after"]) > 0


async def test_a_database_that_is_away(kafka_servers: list[str]) -> None:
    settings = toy_settings(f"postgresql://nobody:x@127.0.0.1:{free_port()}/nothing", kafka_servers)
    plumbing, client = application(settings)
    async with client:
        assert says_come_again(await client.get("/read"))
        posted = await client.post("/write")
        assert says_come_again(posted)
        assert "not known whether" in posted.text
    await plumbing.engine.dispose()


async def test_a_pool_without_a_connection_to_spare(
    postgres_engine: PostgresEngine, kafka_servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = toy_settings(await postgres_engine.create("toy"), kafka_servers)
    plumbing, client = application(settings)
    monkeypatch.setattr(plumbing.engine.sync_engine.pool, "_timeout", 0.2)
    async with client, AsyncExitStack() as held:
        for _ in range(settings.database_pool_size + 4):  # and those that the pool may open beyond its size
            await held.enter_async_context(plumbing.engine.connect())
        assert says_come_again(await client.get("/read"))
        assert says_come_again(await client.post("/write"))
        await held.aclose()
        assert (await client.get("/read")).status_code == 200
        # A mistake of ours stays one.
        wrong = await client.get("/wrong")
        assert (wrong.status_code, "retry-after" in wrong.headers) == (500, False)
    await plumbing.engine.dispose()
