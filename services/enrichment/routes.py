"""The HTTP interface of enrichment, on its operations port: what recovery's pages show of an account."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response

from services.enrichment.ports import Facts
from services.enrichment.usecases.read_context import ReadContext
from shared.kit.db.unit import Database
from shared.kit.http.auth import BearerAuth
from shared.kit.http.problems import Problem
from shared.schemas.enrichment import AccountContext
from shared.schemas.envelope import Data
from shared.schemas.values import AccountId


class ContextAnswer(Data):
    """The facts about an account, each with its state and time (contract section 6)."""

    account_id: AccountId
    context: AccountContext


def context_router(
    auth: BearerAuth, read_context: ReadContext, database: Database, facts_of: Callable[[AsyncConnection], Facts]
) -> APIRouter:
    """`GET /v1/accounts/{account_id}/context`."""
    router = APIRouter(tags=["accounts"])

    @router.get(
        "/v1/accounts/{account_id:path}/context",
        summary="What is known about an account",
        response_model=ContextAnswer,
        responses={401: {"description": "No or a bad token"}, 403: {"description": "The scope is missing"},
                   404: {"description": "Unknown or removed account"}},
    )  # fmt: skip
    async def context(request: Request, account_id: str) -> Response:
        await auth.require(request, "readmit.recover")
        async with database.read() as connection:
            known = None if "\0" in account_id else await read_context(account_id, facts_of(connection))
        if known is None:
            raise Problem(404, "No account has this id.")
        answer = ContextAnswer(account_id=account_id, context=known)
        # Personal throughout: no cache between here and recovery may keep it.
        return Response(
            answer.model_dump_json(exclude_none=True),
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    return router
