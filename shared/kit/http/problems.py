"""Errors as `application/problem+json` (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

TYPE_BASE = "https://readmit.dev/problems"  # an identifier, as RFC 9457 section 3.1.1 allows; nothing is served there


class Problem(Exception):
    """An answer other than success. `slug` ends the type; without one the type is `about:blank`."""

    def __init__(
        self,
        status: int,
        detail: str | None = None,
        *,
        slug: str | None = None,
        title: str | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail or title or slug or str(status))
        self.status = status
        self.detail = detail
        self.slug = slug
        self.title = title or HTTPStatus(status).phrase
        self.headers = dict(headers or {})
        self.members = members

    def body(self) -> dict[str, Any]:
        return {
            "type": f"{TYPE_BASE}/{self.slug}" if self.slug else "about:blank",
            "title": self.title,
            "status": self.status,
            **({"detail": self.detail} if self.detail else {}),
            **self.members,
        }

    def response(self) -> Response:
        return JSONResponse(self.body(), self.status, headers=self.headers, media_type="application/problem+json")


def unavailable(detail: str, *, retry_after: int = 5) -> Problem:
    """503 with `Retry-After` in seconds."""
    return Problem(503, detail, headers={"Retry-After": str(retry_after)})


def away(method: str) -> Problem:
    """503 for a database, or what else is needed, that is away, too slow, or has no connection to spare.

    A commit whose answer was lost may have happened, so this never says that nothing was changed.
    """
    if method in {"GET", "HEAD", "OPTIONS"}:
        return unavailable("Something that this needs is away. Try again.")
    return unavailable(
        "Something that this needs is away. It is not known whether the request had its effect: look first, or send it "
        "again with the Idempotency-Key that it had."
    )


def internal_error() -> Response:
    """500 that says nothing about what went wrong."""
    return Problem(500, "An error happened here. It was logged.").response()


def install(app: FastAPI) -> None:
    """Makes every error of the application a problem document."""

    async def on_problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def on_http_exception(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return Problem(error.status_code, headers=error.headers).response()

    async def on_validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # Paths and queries only, bodies being read by hand. The values stay out: they may be addresses.
        errors = [
            {"member": ".".join(str(part) for part in item["loc"]), "reason": str(item["msg"])}
            for item in error.errors()
        ]
        return Problem(422, "The request is not as expected.", errors=errors).response()

    async def on_anything(_: Request, __: Exception) -> Response:
        return internal_error()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(Exception, on_anything)
