"""`POST /v1/events` (contract section 4)."""

from __future__ import annotations

from fastapi import APIRouter
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.routes.event_bodies import MAX_BODY, split_batch
from services.intake.routes.openapi import POST_EVENTS
from services.intake.routes.reception import as_problems
from services.intake.usecases.accept_events import AcceptEvents, BadEvents
from shared.kit.failpoints import failpoint
from shared.kit.http.auth import BearerAuth
from shared.kit.http.bodies import read_limited, require_media_type
from shared.kit.http.problems import Problem
from shared.schemas.envelope import BATCH_CONTENT_TYPE, CONTENT_TYPE

EVENTS_SCOPE = "readmit.events"

accepted_events = Counter(
    "readmit_intake_events_accepted_total", "Identity events answered 202, repeated ones included."
)


def create_events_router(auth: BearerAuth, accept_events: AcceptEvents) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/events", **POST_EVENTS)
    async def post_events(request: Request) -> Response:
        await auth.require(request, EVENTS_SCOPE)
        kind = require_media_type(request, CONTENT_TYPE, BATCH_CONTENT_TYPE)
        raw = await read_limited(request, MAX_BODY)
        items = split_batch(raw, is_batch=kind == BATCH_CONTENT_TYPE)
        with as_problems():
            try:
                accepted = await accept_events(items)
            except BadEvents as bad:
                errors = [{"index": error.index, "reason": error.reason} for error in bad.errors]
                raise Problem(
                    422, "None of the events was accepted: some are not as expected.", slug="bad-events", errors=errors
                ) from None
        await failpoint("intake.events.before-answer")
        accepted_events.inc(accepted)
        return JSONResponse({"accepted": accepted}, 202)

    return router
