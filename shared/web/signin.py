"""Signing in to a console: the routes ``/signin``, ``/signin/callback`` and ``/signout``."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from shared.kit.clock import Clock, utc_now
from shared.kit.http.auth import InvalidToken, KeysUnavailable, Principal
from shared.kit.logging import get_logger
from shared.web.csrf import CrossOriginProtection, check_form_token, install_refusal_page
from shared.web.oidc import OidcSettings, Provider, ProviderUnavailableError, SignInRejectedError
from shared.web.pages import Pages
from shared.web.sessions import Session, Sessions, cookie_options
from shared.web.signing import Signer, encode

__all__ = ["OidcSettings", "Principal", "Provider", "SignIn", "local_path"]

# From leaving for the provider until coming back: time enough for a password manager and a second factor.
_FLOW_LIFETIME = timedelta(minutes=10)
_LONGEST_NEXT = 1024
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\\]")

log = get_logger(__name__)


Verify = Callable[[str], Awaitable[Principal]]
"""Checks an access token: `shared.kit.http.auth.TokenVerifier`, or a stand-in that raises as it does."""


class SignInRequired(HTTPException):
    """303 to the sign-in for a page, 401 for a form: its fields would be lost on the way."""

    def __init__(self, status_code: int, location: str | None) -> None:
        super().__init__(status_code, "Sign in first.", headers={"Location": location} if location else None)


class NotPermitted(HTTPException):
    """403: signed in, without the scope."""

    def __init__(self) -> None:
        super().__init__(403, "Your sign-in doesn't include access to this page.")


def local_path(value: str | None, default: str = "/") -> str:
    """The path to go on to, or the default for anything that a browser could read as another site (CWE-601)."""
    if not value or len(value) > _LONGEST_NEXT or value[0] != "/" or value[1:2] == "/" or _UNPRINTABLE.search(value):
        return default
    try:
        parts = urlsplit(value)
    except ValueError:
        return default
    # Back to signing in or out would go round in circles.
    circular = parts.path.startswith(("/signin", "/signout"))
    return default if parts.scheme or parts.netloc or circular else value


class SignIn:
    """Signs people in to one console by OpenID Connect; `home` is where it leads by itself."""

    def __init__(
        self,
        *,
        pages: Pages,
        sessions: Sessions,
        settings: OidcSettings,
        keys: Sequence[bytes],
        public_url: str,
        verify: Verify,
        home: str = "/",
        provider: Provider | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._pages = pages
        self._sessions = sessions
        self._provider = provider or Provider(settings, clock=clock)
        self._settings = settings
        self._verify = verify
        self._home = home
        self._clock = clock
        self._origin = CrossOriginProtection(public_url)
        self._flow_cookie = f"{sessions.cookie_name}_signin"
        self._flow = Signer(keys, f"signin/{sessions.cookie_name}")
        self._flow_options = cookie_options(public_url, path="/signin")
        self.routes = [
            Route("/signin", self._begin, methods=["GET"], include_in_schema=False),
            Route("/signin/callback", self._come_back, methods=["GET"], include_in_schema=False),
            Route("/signout", self._sign_out, methods=["POST"], include_in_schema=False),
        ]

    def install(self, app: Starlette) -> None:
        """Add the routes, and pages in place of problem documents for what this module refuses."""
        app.router.routes.extend(self.routes)
        for refusal in (SignInRequired, NotPermitted):
            app.add_exception_handler(refusal, self._refused)
        install_refusal_page(app, self._pages)

    def require_session(self, request: Request, scope: str) -> Session:
        """The session; raises SignInRequired without one, NotPermitted when it lacks the scope."""
        session = self._sessions.load(request)
        if session is None:
            raise SignInRequired(*self._way_in(request))
        if scope not in session.scopes:
            raise NotPermitted
        return session

    async def require_form(self, request: Request, scope: str) -> Session:
        """For a form's POST: the session, once origin and form token show that its own page sent it."""
        self._origin.check(request)
        session = self.require_session(request, scope)
        await check_form_token(request, session, self._sessions)
        return session

    def page_context(self, session: Session) -> dict[str, Any]:
        """What base.html needs of a session."""
        return {"session": session, "csrf_token": self._sessions.csrf_token(session)}

    def _way_in(self, request: Request) -> tuple[int, str | None]:
        if request.method not in ("GET", "HEAD"):
            return 401, None
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return 303, f"/signin?next={quote(local_path(here, self._home), safe='')}"

    async def _begin(self, request: Request) -> Response:
        if not self._settings.configured:
            return self._pages.message(
                request,
                "Sign-in is not set up",
                "This console has no OpenID Connect client. Whoever runs it sets READMIT_OIDC_CLIENT_ID and "
                "READMIT_OIDC_CLIENT_SECRET.",
                503,
            )
        state, nonce, verifier = (encode(secrets.token_bytes(32)) for _ in range(3))
        try:
            location = await self._provider.authorization_url(state=state, nonce=nonce, verifier=verifier)
        except ProviderUnavailableError as error:
            return self._unavailable(request, error)
        expires = int((self._clock() + _FLOW_LIFETIME).timestamp())
        onward = local_path(request.query_params.get("next"), self._home)
        flow = {"state": state, "nonce": nonce, "verifier": verifier, "next": onward, "exp": expires}
        response = RedirectResponse(location, 303, headers={"Cache-Control": "no-store"})
        max_age = int(_FLOW_LIFETIME.total_seconds())
        sealed = self._flow.seal(json.dumps(flow).encode())
        response.set_cookie(self._flow_cookie, sealed, max_age=max_age, **self._flow_options)
        return response

    async def _come_back(self, request: Request) -> Response:
        query = request.query_params
        flow = self._open_flow(request)
        if flow is None or not hmac.compare_digest(query.get("state", "").encode(), flow["state"].encode()):
            # Nothing here was asked for by this browser: also what an attacker's own code would look like.
            return self._rejected(request, "state")
        if "code" not in query:
            return self._rejected(request, "provider", flow["next"])
        try:
            tokens = await self._provider.redeem(
                code=query["code"], verifier=flow["verifier"], nonce=flow["nonce"], iss=query.get("iss")
            )
        except ProviderUnavailableError as error:
            return self._unavailable(request, error)
        except SignInRejectedError as error:
            return self._rejected(request, str(error), flow["next"])
        try:
            principal = await self._verify(tokens.access_token)
        except KeysUnavailable as error:
            return self._unavailable(request, error)
        except InvalidToken as error:
            return self._rejected(request, f"access token: {error}", flow["next"])
        response = RedirectResponse(local_path(flow["next"], self._home), 303, headers={"Cache-Control": "no-store"})
        self._sessions.start(
            response,
            subject=principal.subject,
            account=principal.account,
            scopes=principal.scopes,
            name=tokens.name,
        )
        response.delete_cookie(self._flow_cookie, **self._flow_options)
        log.info("session.started", subject=principal.subject)
        return response

    async def _sign_out(self, request: Request) -> Response:
        self._origin.check(request)
        session = self._sessions.load(request)
        if session is not None:
            await check_form_token(request, session, self._sessions)
        response = self._pages.message(
            request,
            "You are signed out",
            "Close the window on a computer that others use.",
            action=(f"/signin?next={quote(self._home, safe='')}", "Sign in again"),
        )
        self._sessions.end(response)
        return response

    def _open_flow(self, request: Request) -> dict[str, Any] | None:
        payload = self._flow.open(request.cookies.get(self._flow_cookie, ""))
        flow: dict[str, Any] | None = json.loads(payload) if payload is not None else None
        return flow if flow is not None and self._clock().timestamp() < flow["exp"] else None

    def _unavailable(self, request: Request, error: ProviderUnavailableError | KeysUnavailable) -> Response:
        log.warning("signin.provider_unavailable", reason=str(error))
        response = self._pages.message(
            request,
            "Sign-in is not available right now",
            "The identity provider doesn't answer. Everything else keeps running; try again in a few minutes.",
            503,
            action=("/signin", "Try again"),
        )
        response.headers["Retry-After"] = "60"
        return response

    def _rejected(self, request: Request, reason: str, onward: str | None = None) -> Response:
        log.warning("signin.rejected", reason=reason)
        response = self._pages.message(
            request,
            "You are not signed in",
            "The sign-in was not completed, took too long, or was started in another window. Nothing was changed.",
            403 if onward else 400,
            action=(f"/signin?next={quote(onward or self._home, safe='')}", "Sign in again"),
        )
        response.delete_cookie(self._flow_cookie, **self._flow_options)
        return response

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.headers and "Location" in error.headers:
            return RedirectResponse(error.headers["Location"], 303, headers={"Cache-Control": "no-store"})
        if isinstance(error, SignInRequired):
            action = (f"/signin?next={quote(self._home, safe='')}", "Sign in")
            text = "Your session has ended. Sign in and send the form again; nothing was changed."
            return self._pages.message(request, "Sign in first", text, 401, action=action)
        return self._pages.message(request, "You have no access to this page", error.detail, error.status_code)
