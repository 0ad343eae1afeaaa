"""`GET /` and its form: the same request for assistance, for people (contract section 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from services.intake import messages
from services.intake.adapters.catalogs import load_catalogs
from services.intake.domain.languages import LANGUAGES, NATIVE_NAMES
from services.intake.domain.submission import NotDurable, Throttled
from services.intake.routes.bodies import AssistanceRequestBody
from services.intake.routes.reception import Reception, accept_language
from shared.kit.http.bodies import read_limited, require_media_type
from shared.schemas.intake import ThrottlingLimit
from shared.web.csrf import CrossOriginProtection, CrossOriginRefused
from shared.web.pages import Pages

FORM = "application/x-www-form-urlencoded"
MAX_BODY = 16 * 1024
_FIELDS = ("email", "issue")


@dataclass
class _Form:
    """What was typed, to be shown again beside what is wrong with it."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class RequestPage:
    """The form and its confirmation. No script, no cookie, no state in an address but the language asked for."""

    def __init__(self, pages: Pages, reception: Reception, protection: CrossOriginProtection, signin_url: str | None):
        self._pages = pages
        self._reception = reception
        self._protection = protection
        self._signin_url = signin_url
        self._catalogs = load_catalogs()

    async def show(self, request: Request) -> Response:
        return self._form(request, _language(request), _Form())

    async def submit(self, request: Request) -> Response:
        language = _language(request)
        try:
            self._protection.check(request)
        except CrossOriginRefused:
            title, text, link = messages.not_from_here(self._catalogs[language])
            return self._pages.message(request, title, text, 403, action=("/", link), lang=language)
        address = self._reception.address(request)
        form = _Form()
        try:
            await self._reception.admit(address, None)
            require_media_type(request, FORM)
            body = self._read(await read_limited(request, MAX_BODY), form, language)
            if body is None:
                return self._form(request, language, form)
            answer = await self._reception.submit(request, body, address=address, language=language)
        except Throttled as throttled:
            return self._form(request, language, self._refused(throttled, language))
        except NotDurable:
            form.status, form.headers = 503, {"Retry-After": "5"}
            form.errors = {"_form": messages.unavailable(self._catalogs[language])}
            return self._form(request, language, form)
        context = self._context(request, answer.language) | {"reference": answer.reference_id}
        return self._pages.render(request, "confirmation.html", context, lang=answer.language, headers=_VARY)

    def _read(self, raw: bytes, form: _Form, language: str) -> AssistanceRequestBody | None:
        """The body, or None with what is wrong with it in `form`."""
        told = messages.form_errors(self._catalogs[language])
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20)
        except ValueError:
            form.status, form.errors = 422, {"_form": told["_form"]}
            return None
        names = [name for name, _ in pairs]
        form.values = {name: value for name, value in pairs if name in _FIELDS and names.count(name) == 1}
        # A field twice is two opinions: which one holds is how a request reaches a second address (CVE-2023-7028).
        if set(names) - set(_FIELDS) or len(names) != len(set(names)):
            form.errors["_form"] = told["_form"]
        try:
            body = AssistanceRequestBody.model_validate(form.values)
        except ValidationError as error:
            wrong = {str(item["loc"][0]) for item in error.errors(include_input=False, include_context=False)}
            form.errors |= {name: told[name] for name in _FIELDS if name in wrong}
            body = None
        if form.errors:
            form.status = 422
            return None
        return body

    def _refused(self, throttled: Throttled, language: str) -> _Form:
        catalog, headers = self._catalogs[language], {"Retry-After": str(throttled.retry_after)}
        if throttled.limit is ThrottlingLimit.NETWORK:
            text = messages.throttled(catalog, math.ceil(throttled.retry_after / 60))
            return _Form(errors={"_form": text}, status=429, headers=headers)
        return _Form(errors={"_form": messages.unavailable(catalog)}, status=503, headers=headers)

    def _form(self, request: Request, language: str, form: _Form) -> Response:
        context = self._context(request, language) | {
            "values": form.values,
            "errors": form.errors,
            "issues": messages.issues(self._catalogs[language]),
        }
        return self._pages.render(
            request, "request.html", context, form.status, lang=language, headers={**_VARY, **form.headers}
        )

    def _context(self, request: Request, language: str) -> dict[str, Any]:
        chosen = request.query_params.get("lang") in LANGUAGES
        return {
            "service_name": messages.service_name(self._catalogs[language]),
            "signin_url": self._signin_url,
            "languages": [(code, NATIVE_NAMES[code]) for code in LANGUAGES],
            "action": f"/?lang={language}" if chosen else "/",
        }


_VARY = {"Vary": "Accept-Language"}


def _language(request: Request) -> str:
    """The language switched to, else what the browser prefers."""
    chosen = request.query_params.get("lang")
    return chosen if chosen in LANGUAGES else accept_language(request)


def create_page_router(
    pages: Pages, reception: Reception, protection: CrossOriginProtection, *, signin_url: str | None
) -> APIRouter:
    page = RequestPage(pages, reception, protection, signin_url)
    router = APIRouter(include_in_schema=False)
    router.add_api_route("/", page.show, methods=["GET", "HEAD"])
    router.add_api_route("/", page.submit, methods=["POST"])
    return router
