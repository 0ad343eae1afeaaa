"""The administrators' interface (contract section 7)."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.recovery.adapters.enrichment import Enrichment
from services.recovery.adapters.reasons import Reason
from services.recovery.domain.problems import Refused
from services.recovery.ports import Caller
from services.recovery.routes.bodies import (
    LARGEST_BODY,
    ActionBody,
    CloseBody,
    account_json,
    action_json,
    activity_json,
    problem_of,
    read_cursor,
    read_time_cursor,
    request_json,
    time_json,
    write_cursor,
)
from services.recovery.routes.callers import Callers
from services.recovery.routes.openapi import ACTION_ANSWERS, ADMIN_ANSWERS, body_of, queries
from services.recovery.usecases.look_up import Desk
from services.recovery.usecases.request_action import ActionOrder, RequestAction
from shared.kit.failpoints import failpoint
from shared.kit.http.auth import BearerAuth
from shared.kit.http.bodies import read_json
from shared.kit.http.problems import Problem
from shared.schemas.recovery import ActionKind, Resolution
from shared.schemas.reference import InvalidReference, parse

SCOPE = "readmit.recover"
PAGE, LARGEST_PAGE = 50, 200
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_PRIVATE = {"Cache-Control": "no-store"}


class AdminRoutes:
    """Each call: the token and its scope, then the body, then the use case, which asks the directory."""

    def __init__(
        self,
        auth: BearerAuth,
        callers: Callers,
        desk: Desk,
        request_action: RequestAction,
        enrichment: Enrichment,
        reasons: tuple[Reason, ...],
    ) -> None:
        self._auth = auth
        self._callers = callers
        self._desk = desk
        self._request_action = request_action
        self._enrichment = enrichment
        self._reasons = reasons

    def router(self) -> APIRouter:
        router = APIRouter(tags=["administrators"], responses=ADMIN_ANSWERS)
        get, post = router.get, router.post
        paging = queries("limit", "cursor")
        get("/v1/accounts", openapi_extra=queries("query", "limit", "cursor"))(self.search_accounts)
        # A path parameter: an account id is opaque and may hold a slash.
        get("/v1/accounts/{account_id:path}/activity", openapi_extra=paging)(self.read_activity)
        post(
            "/v1/accounts/{account_id:path}/access-emails",
            status_code=202,
            responses=ACTION_ANSWERS,
            openapi_extra=body_of(ActionBody, idempotent=True),
        )(self.send_access_email)
        post(
            "/v1/accounts/{account_id:path}/recovery-codes",
            status_code=202,
            responses=ACTION_ANSWERS,
            openapi_extra=body_of(ActionBody, idempotent=True),
        )(self.send_recovery_code)
        get("/v1/accounts/{account_id:path}")(self.read_account)
        get("/v1/reasons")(self.read_reasons)
        get("/v1/requests", openapi_extra=queries("state", "limit", "cursor"))(self.read_requests)
        post("/v1/requests/{reference_id}/claim", responses=ACTION_ANSWERS)(self.claim_request)
        post("/v1/requests/{reference_id}/close", responses=ACTION_ANSWERS, openapi_extra=body_of(CloseBody))(
            self.close_request
        )
        get("/v1/actions/{action_id}")(self.read_action)
        return router

    async def _caller(self, request: Request) -> tuple[Caller, str]:
        principal = await self._auth.require(request, SCOPE)
        return self._callers.admin(request, principal), request.headers["authorization"].partition(" ")[2].strip()

    async def search_accounts(self, request: Request) -> Response:
        """Accounts by address, name or id, ordered by name."""
        caller, _ = await self._caller(request)
        limit = read_limit(request)
        after = read_cursor(request.query_params.get("cursor"), str, str)
        query = request.query_params.get("query", "").strip().replace("\0", "")
        try:
            found = await self._desk.search_accounts(caller, query, limit=limit + 1, after=after)
        except Refused as refused:
            raise problem_of(refused) from None
        page = found[:limit]
        following = write_cursor(page[-1].display_name.lower(), page[-1].account_id) if len(found) > limit else None
        return answer({"accounts": [account_json(item) for item in page], "next": following})

    async def read_account(self, request: Request, account_id: str) -> Response:
        """One account, with what is known of its recent security events."""
        caller, token = await self._caller(request)
        try:
            account = await self._desk.account(caller, account_id)
        except Refused as refused:
            raise problem_of(refused) from None
        context = await self._enrichment.context_of(account_id, token)
        return answer({**account_json(account), "context": context})

    async def read_activity(self, request: Request, account_id: str) -> Response:
        """What happened on and for an account, newest first."""
        caller, _ = await self._caller(request)
        limit = read_limit(request)
        after = read_time_cursor(request.query_params.get("cursor"), int)
        try:
            lines = await self._desk.activity(caller, account_id, limit=limit + 1, after=after)
        except Refused as refused:
            raise problem_of(refused) from None
        page = lines[:limit]
        following = write_cursor(page[-1][1].at.isoformat(), page[-1][0]) if len(lines) > limit else None
        return answer({"activity": [activity_json(line) for _, line in page], "next": following})

    async def read_reasons(self, request: Request) -> Response:
        """The predefined reasons."""
        caller, _ = await self._caller(request)
        try:
            await self._desk.admit(caller)
        except Refused as refused:
            raise problem_of(refused) from None
        return answer([reason.model_dump() for reason in self._reasons])

    async def read_requests(self, request: Request) -> Response:
        """Assistance requests, newest first: `state` is `open`, `closed` or `all`."""
        caller, _ = await self._caller(request)
        state = request.query_params.get("state", "open")
        if state not in {"open", "closed", "all"}:
            raise Problem(422, "state is open, closed or all.")
        limit = read_limit(request)
        after = read_time_cursor(request.query_params.get("cursor"), str)
        wanted = None if state == "all" else state
        try:
            found = await self._desk.requests(caller, wanted, limit=limit + 1, after=after)
        except Refused as refused:
            raise problem_of(refused) from None
        page = found[:limit]
        following = None
        if len(found) > limit:
            following = write_cursor(page[-1].requested_at.isoformat(), page[-1].reference_id)
        return answer({"requests": [request_json(item) for item in page], "next": following})

    async def claim_request(self, request: Request, reference_id: str) -> Response:
        """Says that the caller is on it."""
        caller, _ = await self._caller(request)
        try:
            claimed = await self._desk.claim(caller, _reference(reference_id))
        except Refused as refused:
            raise problem_of(refused) from None
        return answer(request_json(claimed))

    async def close_request(self, request: Request, reference_id: str) -> Response:
        """Ends it."""
        caller, _ = await self._caller(request)
        body = await read_json(request, CloseBody, limit=LARGEST_BODY)
        try:
            closed = await self._desk.close(caller, _reference(reference_id), Resolution(body.outcome), body.note)
        except Refused as refused:
            raise problem_of(refused) from None
        return answer(request_json(closed))

    async def send_access_email(self, request: Request, account_id: str) -> Response:
        """Sends the account's owner sign-in details and a link to set a new password."""
        return await self._act(request, ActionKind.ACCESS_EMAIL, account_id)

    async def send_recovery_code(self, request: Request, account_id: str) -> Response:
        """Sends the account's owner a recovery code."""
        return await self._act(request, ActionKind.RECOVERY_CODE, account_id)

    async def _act(self, request: Request, kind: ActionKind, account_id: str) -> Response:
        caller, _ = await self._caller(request)
        body = await read_json(request, ActionBody, limit=LARGEST_BODY)
        if not 1 <= len(account_id) <= 128 or not account_id.isprintable():
            account_id = "\0"  # no account's: answered 404 in its turn
        order = order_of(kind, account_id, body, request.headers.getlist("idempotency-key"))
        try:
            action_id = await self._request_action(caller, order)
        except Refused as refused:
            raise problem_of(refused) from None
        await failpoint("recovery.issue.before-answer")
        return answer({"action_id": action_id, "status": "queued"}, 202)

    async def read_action(self, request: Request, action_id: str) -> Response:
        """What became of an action."""
        caller, _ = await self._caller(request)
        try:
            action, now = await self._desk.action(caller, action_id)
        except Refused as refused:
            raise problem_of(refused) from None
        return answer(action_json(action, now))


def order_of(kind: ActionKind, account_id: str, body: ActionBody, keys: list[str]) -> ActionOrder:
    """The order in a body. Raises Problem: 422 for an idempotency key that is none."""
    if len(keys) > 1 or (keys and not _KEY.fullmatch(keys[0])):
        errors = [{"member": "Idempotency-Key", "reason": "must be one value of 1 to 255 visible ASCII characters"}]
        raise Problem(422, "The Idempotency-Key is not as expected.", errors=errors)
    values = body.model_dump(exclude_none=True)
    material = json.dumps([kind.value, account_id, values], sort_keys=True).encode()
    return ActionOrder(
        kind=kind,
        account_id=account_id,
        reason=body.reason,
        details=body.details,
        on_behalf_of=body.on_behalf_of,
        reference_id=body.reference_id,
        verification=values.get("verification"),
        idempotency_key=keys[0] if keys else None,
        fingerprint=hashlib.sha256(material).digest(),
    )


def read_limit(request: Request, default: int = PAGE) -> int:
    """Raises Problem: 422 for a limit that is none."""
    text = request.query_params.get("limit", str(default))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_PAGE):
        raise Problem(422, f"limit is a number from 1 to {LARGEST_PAGE}.")
    return int(text)


def _reference(text: str) -> str:
    try:
        return parse(text)
    except InvalidReference:
        return "-"  # no request's: answered 404 in its turn


def answer(content: Any, status: int = 200) -> Response:
    return JSONResponse(content, status, headers=_PRIVATE)


__all__ = ["AdminRoutes", "answer", "order_of", "time_json"]
