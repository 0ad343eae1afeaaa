"""The least that could take a request: JSON in, intake's own statement, JSON out. What `intake.py` compares with."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from services.intake.adapters.requests import RECORD_SQL

POOL = 10  # connections, as many as intake has (READMIT_DATABASE_POOL_SIZE)


@asynccontextmanager
async def _pool(app: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["BARE_DATABASE_URL"], min_size=POOL, max_size=POOL) as pool:
        app.state.pool = pool
        yield


async def submit(request: Request) -> JSONResponse:
    body = json.loads(await request.body())
    reference, event_id = secrets.token_hex(8), str(uuid4())
    head = json.dumps({"id": event_id, "data": {"reference_id": reference, "email": body["email"]}})
    await request.app.state.pool.fetchrow(
        RECORD_SQL, None, None, reference, "en", [body["email"]], None, body["email"], "/bench", event_id,
        "readmit.assistance.requested.v1", "readmit.assistance.requests.v1", head.removesuffix("}}"),
        datetime.now(UTC), "none", "{}",
    )  # fmt: skip
    return JSONResponse({"reference_id": reference, "message": "We told the administrators."}, 202)


app = Starlette(routes=[Route("/v1/assistance-requests", submit, methods=["POST"])], lifespan=_pool)

if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(os.environ["BARE_PORT"]), loop="uvloop", http="httptools", log_config=None,
        access_log=False,
    )  # fmt: skip
