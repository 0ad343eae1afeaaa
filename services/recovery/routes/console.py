"""The console: Settings › Users."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.recovery.adapters.enrichment import Enrichment, RecentTokens
from services.recovery.adapters.reasons import Reason
from services.recovery.domain.account import Account
from services.recovery.domain.problems import Conflict, NotFound, NotPermitted, Refused, Unacceptable
from services.recovery.routes.admin import SCOPE, order_of
from services.recovery.routes.bodies import ActionBody, read_cursor, read_time_cursor, write_cursor
from services.recovery.routes.callers import Callers
from services.recovery.routes.pages import FormErrors
from services.recovery.routes.wording import (
    ACTION_NAMES,
    STATUS_BADGES,
    STATUS_MEANINGS,
    THINGS,
    account_facts,
    action_facts,
    activity_row,
    context_facts,
    context_missing,
)
from services.recovery.usecases.look_up import Desk
from services.recovery.usecases.request_action import RequestAction
from services.recovery.usecases.view_account import AccountView, ViewAccount
from shared.kit.http.bodies import describe
from shared.kit.http.problems import Problem
from shared.schemas.recovery import ActionKind
from shared.web.pages import Pages
from shared.web.sessions import Session
from shared.web.signin import SignIn

HOME = "/console/users"
_PAGE = 25
_FIELDS = ("reason", "details", "on_behalf_of", "reference_id", "verification_method", "verification_note")
_EXPLANATIONS = {
    ActionKind.ACCESS_EMAIL: "Sends sign-in details and a link to set a new password.",
    ActionKind.RECOVERY_CODE: "Sends a code to set a new password or remove the second factor, valid for one hour.",
}


class ConsolePages:
    """Pages for signed-in administrators; what they may do is asked of the directory at each request."""

    def __init__(
        self,
        pages: Pages,
        signin: SignIn,
        callers: Callers,
        desk: Desk,
        view_account: ViewAccount,
        request_action: RequestAction,
        enrichment: Enrichment,
        tokens: RecentTokens,
        reasons: tuple[Reason, ...],
    ) -> None:
        self._pages = pages
        self._signin = signin
        self._callers = callers
        self._desk = desk
        self._view_account = view_account
        self._request_action = request_action
        self._enrichment = enrichment
        self._tokens = tokens
        self._reasons = reasons

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/", _home, methods=["GET"])
        router.add_api_route("/console", _home, methods=["GET"])
        router.add_api_route(HOME, self.show_users, methods=["GET"])
        for kind in ActionKind:
            path = f"{HOME}/{{account_id:path}}/{kind.value}s"
            router.add_api_route(path, self._sender(kind), methods=["POST"], name=f"send_{kind.value}")
        router.add_api_route(f"{HOME}/{{account_id:path}}", self.show_user, methods=["GET"])
        router.add_api_route("/console/actions/{action_id}", self.show_action, methods=["GET"])
        return router

    async def show_users(self, request: Request) -> Response:
        session = self._signin.require_session(request, SCOPE)
        query = request.query_params.get("query", "").strip().replace("\0", "")
        after = read_cursor(request.query_params.get("cursor"), str, str)
        caller = self._callers.admin(request, session)
        try:
            found = await self._desk.search_accounts(caller, query, limit=_PAGE + 1, after=after)
        except Refused as refused:
            return self._refusal(request, session, refused)
        page = found[:_PAGE]
        following = ""
        if len(found) > _PAGE:
            cursor = write_cursor(page[-1].display_name.lower(), page[-1].account_id)
            following = f"{HOME}?{urlencode({'query': query, 'cursor': cursor})}"
        rows = [{"account": account, "href": href_of(account.account_id)} for account in page]
        context = {"query": query, "accounts": rows, "following": following}
        return self._pages.render(request, "users.html", self._signin.page_context(session) | context)

    async def show_user(self, request: Request, account_id: str) -> Response:
        session = self._signin.require_session(request, SCOPE)
        kind = _kind(request.query_params.get("dialog"))
        return await self._user_page(request, session, account_id, kind)

    def _sender(self, kind: ActionKind) -> Any:
        async def send(request: Request, account_id: str) -> Response:
            return await self._send(request, kind, account_id)

        return send

    async def _send(self, request: Request, kind: ActionKind, account_id: str) -> Response:
        session = await self._signin.require_form(request, SCOPE)
        form = await request.form()
        values = {name: _text(form, name) for name in _FIELDS}
        try:
            order = order_of(kind, account_id, _body(values), [_text(form, "idempotency_key")])
            action_id = await self._request_action(self._callers.admin(request, session), order)
        except ValidationError as error:
            errors = {_field(item["member"]): item["reason"] for item in describe(error)}
            return await self._user_page(request, session, account_id, kind, values, errors)
        except (Unacceptable, Conflict) as refused:
            member = refused.member if isinstance(refused, Unacceptable) else "_form"
            return await self._user_page(request, session, account_id, kind, values, {member: str(refused)})
        except Problem as problem:
            return self._pages.message(request, "This is not possible", str(problem), problem.status)
        except Refused as refused:
            return self._refusal(request, session, refused)
        # Sent once however often the page is loaded again: another request, which only shows.
        return RedirectResponse(f"/console/actions/{action_id}", 303, headers={"Cache-Control": "no-store"})

    async def _user_page(
        self,
        request: Request,
        session: Session,
        account_id: str,
        kind: ActionKind | None,
        values: Mapping[str, str] | None = None,
        errors: Mapping[str, str] | None = None,
    ) -> Response:
        after = read_time_cursor(request.query_params.get("cursor"), int)
        try:
            admin = await self._desk.admit(self._callers.admin(request, session))
            view = await self._view_account(admin, account_id, limit=_PAGE + 1, after=after)
        except Refused as refused:
            return self._refusal(request, session, refused)
        facts = await self._enrichment.context_of(account_id, self._tokens.of(session.subject))
        shown = kind if kind is not None and view.unavailable[kind] is None else None
        context = self._signin.page_context(session) | self._shown(view, facts)
        context |= {
            "errors": FormErrors(errors or {}),
            "form": values if values is not None else _prefilled(view),
            "dialog": self._dialog(view.account, shown) if shown else None,
        }
        return self._pages.render(request, "user.html", context, 422 if errors else 200)

    def _shown(self, view: AccountView, facts: Mapping[str, Any]) -> dict[str, Any]:
        href, lines = href_of(view.account.account_id), view.activity[:_PAGE]
        following = ""
        if len(view.activity) > _PAGE:
            following = f"{href}?{urlencode({'cursor': write_cursor(lines[-1][1].at.isoformat(), lines[-1][0])})}"
        actions = [
            {
                "action": action,
                "label": THINGS[action.kind],
                "status": action.shown_status(view.at),
                "badge": STATUS_BADGES.get(action.shown_status(view.at), "neutral"),
            }
            for action in view.actions
        ]
        return {
            "account": view.account,
            "href": href,
            "facts": account_facts(view.account),
            "context": context_facts(facts),
            "context_missing": context_missing(facts),
            "unavailable": {kind.value: reason for kind, reason in view.unavailable.items()},
            "open_requests": view.open_requests,
            "actions": actions,
            "activity": [activity_row(line, self._reasons) for _, line in lines],
            "following": following,
            "reasons": [(reason.code, reason.label) for reason in self._reasons],
        }

    def _dialog(self, account: Account, kind: ActionKind) -> dict[str, str]:
        return {
            "kind": kind.value,
            "title": ACTION_NAMES[kind],
            "button": ACTION_NAMES[kind],
            "action": f"{href_of(account.account_id)}/{kind.value}s",
            "explanation": _EXPLANATIONS[kind],
            # One form is one action, however often its button is pressed.
            "idempotency_key": secrets.token_urlsafe(16),
        }

    async def show_action(self, request: Request, action_id: str) -> Response:
        session = self._signin.require_session(request, SCOPE)
        try:
            action, now = await self._desk.action(self._callers.admin(request, session), action_id)
        except Refused as refused:
            return self._refusal(request, session, refused)
        status = action.shown_status(now)
        context = self._signin.page_context(session) | {
            "action": action,
            "label": THINGS[action.kind],
            "status": status,
            "badge": STATUS_BADGES.get(status, "neutral"),
            "meaning": STATUS_MEANINGS[status],
            "facts": action_facts(action, self._reasons),
            "account_href": href_of(action.account_id),
        }
        return self._pages.render(request, "action.html", context)

    def _refusal(self, request: Request, session: Session, refused: Refused) -> Response:
        status = 403 if isinstance(refused, NotPermitted) else 404 if isinstance(refused, NotFound) else 409
        context: dict[str, Any] = {"title": "This is not possible", "text": str(refused), "action": None}
        if status != 403:
            context["action"] = (HOME, "Back to the users")
        return self._pages.render(request, "message.html", self._signin.page_context(session) | context, status)


def href_of(account_id: str) -> str:
    return f"{HOME}/{quote(account_id, safe='')}"


async def _home() -> Response:
    return RedirectResponse(HOME, 303)


def _kind(text: str | None) -> ActionKind | None:
    return next((kind for kind in ActionKind if kind.value == text), None)


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _body(values: Mapping[str, str]) -> ActionBody:
    """The form as the interface's body. Raises ValidationError."""
    given: dict[str, Any] = {name: values[name] for name in ("reason", "on_behalf_of", "reference_id") if values[name]}
    if values["details"]:
        given["details"] = values["details"].replace("\r\n", "\n")
    if values["verification_method"] or values["verification_note"]:
        given["verification"] = {"method": values["verification_method"], "note": values["verification_note"] or None}
    return ActionBody.model_validate(given)


def _field(member: str) -> str:
    return member.replace(".", "_")


def _prefilled(view: AccountView) -> dict[str, str]:
    requests = view.open_requests
    return dict.fromkeys(_FIELDS, "") | {"reference_id": requests[0].reference_id if len(requests) == 1 else ""}
