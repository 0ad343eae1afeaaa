"""Refusing forms that another site made a browser send (CSRF)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.kit.logging import get_logger
from shared.web.pages import Pages
from shared.web.sessions import Session, Sessions

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_DEFAULT_PORTS = {"http": 80, "https": 443}

log = get_logger(__name__)


class CrossOriginRefused(HTTPException):
    """403: the request came from another site, or its form from another session."""

    def __init__(self) -> None:
        super().__init__(403, "This form was not sent from our own page. Open the page again and send it from there.")


def origin_of(url: str) -> str:
    """The origin of an address as browsers write it (RFC 6454, section 6.2). Raises ValueError for none."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"not an http address: {url!r}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


class CrossOriginProtection:
    """The algorithm of Go's net/http CrossOriginProtection, against our public address instead of ``Host``.

    Browsers say in Sec-Fetch-Site whether a request is from the same origin, older ones name its origin in Origin; who
    sends neither is no browser, and carries nobody's cookies unknowingly.
    """

    def __init__(self, public_url: str, trusted_origins: Collection[str] = ()) -> None:
        self._own = origin_of(public_url)
        self._trusted = frozenset(origin_of(origin) for origin in trusted_origins)

    def allows(self, method: str, headers: Mapping[str, str]) -> bool:
        if method in _SAFE_METHODS:
            return True
        origin = headers.get("origin")
        site = headers.get("sec-fetch-site")
        if site in ("same-origin", "none"):
            return True
        if origin in self._trusted:
            return True
        if site is not None:
            return False
        return origin is None or origin == self._own

    def check(self, request: Request) -> None:
        """Raises CrossOriginRefused. Also usable as a FastAPI dependency of a whole router."""
        if not self.allows(request.method, request.headers):
            log.warning("csrf.refused", path=request.url.path)
            raise CrossOriginRefused

    async def __call__(self, request: Request) -> None:
        self.check(request)


async def check_form_token(request: Request, session: Session, sessions: Sessions) -> None:
    """Of a signed-in form: raises CrossOriginRefused unless its ``csrf_token`` was made for this session."""
    token = (await request.form()).get("csrf_token")
    if not isinstance(token, str) or not sessions.csrf_matches(session, token):
        raise CrossOriginRefused


def install_refusal_page(app: Starlette, pages: Pages) -> None:
    """Answer CrossOriginRefused with a page rather than with a problem document."""

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, CrossOriginRefused)
        return pages.message(request, "This form was not accepted", error.detail, error.status_code)

    app.add_exception_handler(CrossOriginRefused, refused)
