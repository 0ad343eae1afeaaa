"""A service's dead letters over HTTP, for operators with the scope `readmit.ops` (contract section 2).

The same as `readmit dead-letters`, for this service's database only; who acts is the token's account or subject.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from shared.kit.db.unit import Database
from shared.kit.http.auth import BearerAuth, Principal
from shared.kit.http.bodies import read_json
from shared.kit.http.problems import Problem
from shared.kit.messaging import dead_letter_store as store
from shared.kit.messaging.dead_letter_json import contents, members, told
from shared.kit.messaging.dead_letter_store import Selection, State

SCOPE = "readmit.ops"
LARGEST_BODY = 4 * 1024  # bytes
_ANSWERS: dict[int | str, dict[str, Any]] = {
    401: {"description": "No or a bad token"},
    403: {"description": "The scope is missing"},
}


class DropBody(BaseModel):
    """Why a letter shall have no effect."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    because: Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True)]


class DeadLetterRoutes:
    def __init__(self, auth: BearerAuth, database: Database, service: str) -> None:
        self._auth = auth
        self._database = database
        self._service = service
        self._id = re.compile(rf"{service}-([1-9][0-9]{{0,17}})")

    def router(self) -> APIRouter:
        # A dependency is solved before the query is validated: 401 and 403 come first (hazard 19).
        router = APIRouter(tags=["operations"], dependencies=[Depends(self._require_operator)])
        one = "/v1/dead-letters/{letter_id}"
        unknown = {**_ANSWERS, 404: {"description": "No such dead letter"}}
        settled = {**unknown, 409: {"description": "It is not in a state for that"}}
        body = {
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": DropBody.model_json_schema()}},
            }
        }
        router.get("/v1/dead-letters", responses=_ANSWERS)(self.list_letters)
        router.get(one, responses=unknown)(self.show)
        router.post(f"{one}/replay", status_code=202, responses=settled)(self.replay)
        router.post(f"{one}/drop", responses=settled, openapi_extra=body)(self.drop)
        return router

    async def _require_operator(self, request: Request) -> None:
        request.state.principal = await self._auth.require(request, SCOPE)

    async def list_letters(
        self,
        topic: Annotated[list[str] | None, Query()] = None,
        group: Annotated[list[str] | None, Query()] = None,
        since: AwareDatetime | None = None,
        reason: str | None = None,
        state: Annotated[list[State] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        after: str | None = None,
    ) -> Response:
        """What could not be processed, oldest first. `next` goes into `after` for the page that follows."""
        selection = _selection(topic, group, since, reason, state)
        begin = self._number(after) if after else 0
        async with self._database.read() as connection:
            letters = await store.list_letters(connection, selection, after=begin, limit=limit)
        return _answer(
            {
                "dead_letters": [members(self._name(letter.id), letter) for letter in letters],
                "next": self._name(letters[-1].id) if len(letters) == limit else None,
            }
        )

    async def show(self, letter_id: str) -> Response:
        """One of them, all bytes in base64, and what was done about it."""
        async with self._database.read() as connection:
            found = await store.read_letter(connection, self._number(letter_id))
        if found is None:
            raise _unknown()
        letter, record, actions = found
        return _answer(members(letter_id, letter) | contents(record) | {"actions": told(actions)})

    async def replay(self, request: Request, letter_id: str) -> Response:
        """Has the service process it again, soon; its state says how that ended."""
        principal: Principal = request.state.principal
        number = self._number(letter_id)
        async with self._database.begin() as unit:
            asked = await store.ask_replay(unit.connection, Selection(ids=[number]), by=principal.actor)
            if not asked:
                raise await self._refusal(unit.connection, number)
        return _answer({"id": letter_id, "state": State.REPLAYING.value}, 202)

    async def drop(self, request: Request, letter_id: str) -> Response:
        """Settles it without an effect. Its bytes are kept, and it can still be replayed."""
        principal: Principal = request.state.principal
        body = await read_json(request, DropBody, limit=LARGEST_BODY)
        number = self._number(letter_id)
        async with self._database.begin() as unit:
            dropped = await store.drop(
                unit.connection, Selection(ids=[number]), by=principal.actor, because=body.because
            )
            if not dropped:
                raise await self._refusal(unit.connection, number)
        return _answer({"id": letter_id, "state": State.DROPPED.value})

    def _name(self, number: int) -> str:
        return f"{self._service}-{number}"

    def _number(self, letter_id: str) -> int:
        match = self._id.fullmatch(letter_id)
        if match is None:
            raise _unknown()
        return int(match[1])

    @staticmethod
    async def _refusal(connection: AsyncConnection, number: int) -> Problem:
        found = await store.list_letters(connection, Selection(ids=[number]), limit=1)
        return Problem(409, f"It is {found[0].state.value}.", slug="not-parked") if found else _unknown()


def _selection(
    topics: list[str] | None,
    groups: list[str] | None,
    since: datetime | None,
    reason: str | None,
    states: list[State] | None,
) -> Selection:
    if any("\0" in text for text in (*(topics or ()), *(groups or ()), reason or "")):
        raise Problem(422, "A filter holds a NUL character.")  # PostgreSQL has none in text
    return Selection(topics=topics or (), groups=groups or (), since=since, reason=reason, states=states or ())


def _answer(body: dict[str, Any], status: int = 200) -> Response:
    # What strangers sent may be personal: no cache may keep it.
    return JSONResponse(body, status, headers={"Cache-Control": "no-store"})


def _unknown() -> Problem:
    return Problem(404, "There is no such dead letter here.")
