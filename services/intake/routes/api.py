"""`POST /v1/assistance-requests` (contract section 3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from gettext import NullTranslations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.intake.domain.submission import Answer
from services.intake.messages import confirmation
from services.intake.routes.bodies import AssistanceRequestBody
from services.intake.routes.openapi import SUBMIT_REQUEST
from services.intake.routes.reception import Reception, accept_language, as_problems
from shared.kit.http.app import DirectRoute
from shared.kit.http.auth import BearerAuth
from shared.kit.http.bodies import decode_json, parse_body, read_limited, require_media_type
from shared.kit.http.problems import Problem

PATH = "/v1/assistance-requests"
REQUESTS_SCOPE = "readmit.requests"
MAX_BODY = 16 * 1024


def create_requests_routes(
    auth: BearerAuth, reception: Reception, catalogs: Mapping[str, NullTranslations]
) -> tuple[DirectRoute, APIRouter]:
    """The route that answers, and the router that describes it in `/openapi.json`."""

    async def submit_request(request: Request) -> Response:
        principal = await auth.optional(request)
        for_others = principal is not None and REQUESTS_SCOPE in principal.scopes
        address = reception.address(request)
        with as_problems():
            if not for_others:
                await reception.admit(address, principal)
            require_media_type(request, "application/json")
            value = decode_json(await read_limited(request, MAX_BODY))
            if isinstance(value, dict) and "client" in value and not for_others:
                raise _client_refused()
            body = parse_body(AssistanceRequestBody, value)
            if body.client is not None:
                address = ipaddress.ip_address(body.client.ip)
            if for_others:  # the user's network counts, and only the body tells it
                await reception.admit(address, principal)
            answer = await reception.submit(
                request, body, address=address, language=accept_language(request), principal=principal
            )
        return _accepted(answer, catalogs)

    description = APIRouter()
    description.post(PATH, **SUBMIT_REQUEST)(submit_request)
    return DirectRoute(PATH, submit_request, methods=["POST"]), description


def _client_refused() -> Problem:
    challenge = f'Bearer realm="readmit", error="insufficient_scope", scope="{REQUESTS_SCOPE}"'
    detail = f"Only a token of the scope {REQUESTS_SCOPE} may say where a user is."
    return Problem(403, detail, slug="insufficient-scope", headers={"WWW-Authenticate": challenge})


def _accepted(answer: Answer, catalogs: Mapping[str, NullTranslations]) -> Response:
    body = {"reference_id": answer.reference_id, "message": confirmation(catalogs[answer.language])}
    headers = {"Content-Language": answer.language, "Vary": "Accept-Language", "Cache-Control": "no-store"}
    return JSONResponse(body, 202, headers=headers)
