"""The pages of the person: `/r` for a link, `/recover` for a code, then on to the identity platform."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.recovery.adapters.limits import NetworkLimit
from services.recovery.domain.problems import InvalidOrExpired
from services.recovery.routes.bodies import LARGEST_BODY
from services.recovery.routes.callers import Callers
from services.recovery.usecases.redeem import Redeem
from shared.kit.http.bodies import media_type, read_limited
from shared.kit.http.client_address import network_of
from shared.kit.http.problems import Problem
from shared.schemas.recovery import GrantedAction
from shared.web.csrf import CrossOriginProtection, origin_of
from shared.web.headers import ContentPolicy
from shared.web.pages import Pages

Errors = Mapping[str, str]


class FormErrors(dict[str, str]):
    """What is wrong with a form, by field; a field that is right has an empty message."""

    def __missing__(self, _: str) -> str:
        return ""


_WITH_SCRIPT = ContentPolicy(script_src=("'self'",))
_BAD_CODE = "This address and this code do not fit together, or not any more"
_BAD_CODE_ADVICE = (
    "A code runs out after an hour, can be used once, and is replaced by a newer one. Check both fields, or ask for a "
    "new code."
)
_BAD_LINK = (
    "This link is not valid, or not any more: it can be used once, within a day, and a newer one replaces it. "
    "Ask for a new one."
)
_LEADS = {
    frozenset({GrantedAction.RESET_PASSWORD}): "Your next step is to set a new password.",
    frozenset({GrantedAction.REMOVE_2FA}): "Next, your lost second factor is removed, and you can enrol a new one.",
    frozenset(GrantedAction): "Your next steps are to set a new password and to enrol a new second factor.",
}


class PersonPages:
    """Opening a page uses nothing up (CVE-2019-1020018): only a form that its button posts."""

    def __init__(
        self,
        pages: Pages,
        callers: Callers,
        limit: NetworkLimit,
        redeem: Redeem,
        *,
        public_url: str,
        continue_url: str,
    ) -> None:
        self._pages = pages
        self._callers = callers
        self._limit = limit
        self._redeem = redeem
        # Somebody else's page must not walk a person into the attacker's account with the attacker's code.
        self._origin = CrossOriginProtection(public_url)
        self._continue_url = continue_url
        self._handing_over = ContentPolicy(form_action=(origin_of(continue_url),))

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        router.add_api_route("/r", self.show_link, methods=["GET", "HEAD"])
        router.add_api_route("/r", self.use_link, methods=["POST"])
        router.add_api_route("/recover", self.show_code, methods=["GET", "HEAD"])
        router.add_api_route("/recover", self.use_code, methods=["POST"])
        return router

    async def show_link(self, request: Request) -> Response:
        return self._link_page(request, {})

    async def use_link(self, request: Request) -> Response:
        form = await self._form(request)
        try:
            await self._limit(network_of(self._callers.ip(request)))
        except Problem as problem:
            return self._too_many(request, problem)
        # Whoever pastes may well paste the whole link.
        token = form.get("token", [""])[0].strip().rpartition("#")[2]
        try:
            grant = await self._redeem.link(self._callers.anybody(request), token)
        except InvalidOrExpired:
            return self._link_page(request, {"token": _BAD_LINK}, 400)
        return self._hand_over(request, grant, frozenset({GrantedAction.RESET_PASSWORD}))

    async def show_code(self, request: Request) -> Response:
        return self._code_page(request, {}, "", ["reset-password"])

    async def use_code(self, request: Request) -> Response:
        form = await self._form(request)
        network = network_of(self._callers.ip(request))
        try:
            await self._limit(network)
        except Problem as problem:
            return self._too_many(request, problem)
        email, code = form.get("email", [""])[0], form.get("code", [""])[0]
        chosen = [action.value for action in GrantedAction if action.value in form.get("actions", [])]
        errors = _missing(email, code, chosen)
        if errors:
            return self._code_page(request, errors, email, chosen, 422)
        actions = [GrantedAction(value) for value in chosen]
        try:
            grant = await self._redeem.code(self._callers.anybody(request), network, email, code, actions)
        except InvalidOrExpired:
            return self._code_page(request, {"code": _BAD_CODE}, email, chosen, 400)
        return self._hand_over(request, grant, frozenset(actions))

    async def _form(self, request: Request) -> dict[str, list[str]]:
        """Raises Problem and CrossOriginRefused."""
        self._origin.check(request)
        if media_type(request) != "application/x-www-form-urlencoded":
            raise Problem(415, "Send application/x-www-form-urlencoded.")
        raw = await read_limited(request, LARGEST_BODY)
        try:
            return parse_qs(raw.decode("utf-8"), keep_blank_values=True, max_num_fields=20)
        except ValueError:
            raise Problem(400, "The form is not valid.") from None

    def _link_page(self, request: Request, errors: Errors, status: int = 200) -> Response:
        return self._pages.render(request, "link.html", {"errors": FormErrors(errors)}, status, csp=_WITH_SCRIPT)

    def _code_page(
        self, request: Request, errors: Errors, email: str, actions: Sequence[str], status: int = 200
    ) -> Response:
        context: dict[str, Any] = {"errors": FormErrors(errors), "email": email, "actions": actions}
        context["refused"] = _BAD_CODE_ADVICE if status == 400 else ""
        return self._pages.render(request, "recover.html", context, status)

    def _hand_over(self, request: Request, grant: str, actions: frozenset[GrantedAction]) -> Response:
        """The grant in a form that posts it to the identity platform: in no address, no log and no history."""
        context = {
            "grant": grant,
            "lead": _LEADS[actions],
            "continue_url": self._continue_url,
            "continue_host": urlsplit(self._continue_url).netloc,
        }
        return self._pages.render(request, "continue.html", context, csp=self._handing_over)

    def _too_many(self, request: Request, problem: Problem) -> Response:
        text = "There were too many attempts from your network. Try again later; the code or link stays good meanwhile."
        response = self._pages.message(request, "Please wait", text, problem.status)
        response.headers["Retry-After"] = problem.headers.get("Retry-After", "60")
        return response


def _missing(email: str, code: str, actions: Sequence[str]) -> dict[str, str]:
    errors = {}
    if not email.strip():
        errors["email"] = "Enter the address that the code came to"
    if not code.strip():
        errors["code"] = "Enter the code from the email"
    if not actions:
        errors["actions"] = "Choose at least one"
    return errors
