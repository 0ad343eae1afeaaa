"""The OpenID provider of the consoles: authorization code with PKCE (RFC 6749, 7636, 9700; OpenID Connect Core)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.demo.identity import scopes
from deploy.demo.identity.browser import Browser
from deploy.demo.identity.database import Database
from deploy.demo.identity.sessions import Session, Stage, hash_of
from deploy.demo.identity.settings import Settings
from deploy.demo.identity.tokens import LIFETIME_SECONDS, Signer

# Seconds that a sign-in may take, and that a code is good for (RFC 6749 section 4.1.2 asks for ten minutes at most).
_WAITING_SECONDS, _CODE_SECONDS = 1800, 60
_PARAMETERS = ("redirect_uri", "scope", "state", "nonce", "code_challenge")
_LONGEST_PARAMETER = 1024
# RFC 7636: base64url of a SHA-256; 43 to 128 unreserved characters.
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


@dataclass(frozen=True)
class _Refusal(Exception):
    """An OAuth error for the token endpoint."""

    error: str
    status: int = 400


class Provider:
    """One client, the consoles, at exact redirect addresses."""

    def __init__(self, settings: Settings, browser: Browser, database: Database, signer: Signer) -> None:
        self._settings = settings
        self._browser = browser
        self._database = database
        self._signer = signer

    def routes(self) -> list[Route]:
        return [
            Route("/.well-known/openid-configuration", self.configuration),
            Route("/.well-known/jwks.json", self.keys),
            Route("/authorize", self.authorize),
            Route("/authorize/resume", self.resume),
            Route("/token", self.token, methods=["POST"]),
            Route("/userinfo", self.userinfo),
        ]

    async def configuration(self, request: Request) -> Response:
        issuer = self._signer.issuer
        return JSONResponse(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "userinfo_endpoint": f"{issuer}/userinfo",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "scopes_supported": ["openid", "profile", "email", scopes.RECOVER, *scopes.AUDITOR.split()],
                "claims_supported": ["sub", "email", "name", "locale", "auth_time"],
            }
        )

    async def keys(self, request: Request) -> Response:
        return JSONResponse(self._signer.public_keys())

    async def authorize(self, request: Request) -> Response:
        query = request.query_params
        redirect_uri = query.get("redirect_uri", "")
        known = redirect_uri in self._settings.redirect_uris
        if query.get("client_id") != self._settings.client_id or not known:
            # Never sent back: an address that is not registered must not receive anything.
            return self._browser.page("authorize_refused.html", status=400)
        error = _problem(request)
        if error is not None:
            return self._back(redirect_uri, query.get("state", ""), error=error)
        parameters = {name: query.get(name, "") for name in _PARAMETERS}
        session = await self._browser.session(request, Stage.SIGNED_IN)
        fits = session is not None and self._may_use_console(await self._browser.account(session), parameters["scope"])
        if session is not None and fits and query.get("prompt") != "login":
            return await self._issue_code(parameters, session)
        if query.get("prompt") == "none":
            return self._back(redirect_uri, parameters["state"], error="login_required")
        waiting = await run_in_threadpool(self._keep, parameters, _WAITING_SECONDS)
        notice = {"notice": "another-account"} if session is not None and not fits else {}
        return self._browser.redirect(f"/?{urlencode({'request': waiting, **notice})}")

    def _may_use_console(self, account: dict[str, Any], asked: str) -> bool:
        """Whether the account can be given any of Readmit's scopes that are asked for.

        Who plays several people in one browser would otherwise be sent on as the last of them, to be refused there.
        """
        wanted = {scope for scope in asked.split() if scope.startswith("readmit.")}
        return not wanted or not wanted.isdisjoint(_granted(account, asked).split())

    async def resume(self, request: Request) -> Response:
        """After the sign-in page: back to the console that waits for it."""
        session = await self._browser.session(request, Stage.SIGNED_IN)
        if session is None:
            return self._browser.redirect("/")
        parameters = await run_in_threadpool(self._take, request.query_params.get("request", ""))
        if parameters is None or "account_id" in parameters:
            return self._browser.redirect("/home")
        return await self._issue_code(parameters, session)

    async def _issue_code(self, parameters: dict[str, Any], session: Session) -> Response:
        issued = {**parameters, "account_id": session.account_id, "auth_time": int(session.began_at)}
        code = await run_in_threadpool(self._keep, issued, _CODE_SECONDS)
        return self._back(parameters["redirect_uri"], parameters["state"], code=code)

    def _back(self, redirect_uri: str, state: str, **values: str) -> Response:
        answer = {**values, "iss": self._signer.issuer} | ({"state": state} if state else {})
        return self._browser.redirect(f"{redirect_uri}?{urlencode(answer)}")

    def _keep(self, parameters: dict[str, Any], seconds: int) -> str:
        token = secrets.token_urlsafe(32)
        now = time.time()
        with self._database.transaction() as db:
            db.execute("DELETE FROM authorizations WHERE expires_at < ?", (now,))
            row = (hash_of(token), json.dumps(parameters), now + seconds)
            db.execute("INSERT INTO authorizations (hash, parameters, expires_at) VALUES (?, ?, ?)", row)
        return token

    def _take(self, token: str) -> dict[str, Any] | None:
        """What was kept under a token; once."""
        query = "DELETE FROM authorizations WHERE hash = ? AND expires_at > ? RETURNING parameters"
        with self._database.transaction() as db:
            rows = db.execute(query, (hash_of(token), time.time())).fetchall()
        return json.loads(rows[0]["parameters"]) if rows else None

    async def token(self, request: Request) -> Response:
        # Called by servers, which send no Origin.
        form = await self._browser.form(request)
        try:
            self._authenticate(request, form)
            answer = await run_in_threadpool(self._exchange, form)
        except _Refusal as refusal:
            headers = {"www-authenticate": 'Basic realm="token"'} if refusal.status == 401 else {}
            return JSONResponse({"error": refusal.error}, status_code=refusal.status, headers=headers)
        return JSONResponse(answer, headers={"pragma": "no-cache"})

    def _authenticate(self, request: Request, form: dict[str, str]) -> None:
        """Check the client's secret, from one place only (RFC 6749 section 2.3)."""
        client_id, secret = form.get("client_id", ""), form.get("client_secret", "")
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            if secret:
                raise _Refusal("invalid_request")
            try:
                plain = base64.b64decode(encoded, validate=True).decode()
            except ValueError:
                raise _Refusal("invalid_client", 401) from None
            client_id, secret = (unquote_plus(part) for part in plain.partition(":")[::2])
        good = hmac.compare_digest(secret.encode(), self._settings.client_secret.encode())
        if client_id != self._settings.client_id or not good:
            raise _Refusal("invalid_client", 401)

    def _exchange(self, form: dict[str, str]) -> dict[str, Any]:
        if form.get("grant_type") != "authorization_code":
            raise _Refusal("unsupported_grant_type")
        code = self._take(form.get("code", ""))
        verifier = form.get("code_verifier", "")
        if code is None or "account_id" not in code or form.get("redirect_uri") != code["redirect_uri"]:
            raise _Refusal("invalid_grant")
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(_s256(verifier), code["code_challenge"]):
            raise _Refusal("invalid_grant")
        with self._database.reading() as db:
            account = db.execute("SELECT * FROM accounts WHERE account_id = ?", (code["account_id"],)).fetchone()
        if account is None or account["status"] != "active":
            raise _Refusal("invalid_grant")
        scope = _granted(dict(account), code["scope"])
        client_id = self._settings.client_id
        return {
            "access_token": self._signer.access_token(account["account_id"], scope, client_id=client_id),
            "token_type": "Bearer",
            "expires_in": LIFETIME_SECONDS,
            "scope": scope,
            "id_token": self._id_token(code, dict(account)),
        }

    def _id_token(self, code: dict[str, Any], account: dict[str, Any]) -> str:
        now = int(time.time())
        claims = {
            "iss": self._signer.issuer,
            "aud": self._settings.client_id,
            "sub": account["account_id"],
            "iat": now,
            "exp": now + 600,
            "auth_time": code["auth_time"],
            **_profile(account),
        }
        if code["nonce"]:
            claims["nonce"] = code["nonce"]
        return self._signer.sign("JWT", claims)

    async def userinfo(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        subject = self._signer.subject_of(token) if scheme.lower() == "bearer" else None

        def read() -> dict[str, Any] | None:
            with self._database.reading() as db:
                row = db.execute("SELECT * FROM accounts WHERE account_id = ?", (subject,)).fetchone()
            return dict(row) if row else None

        account = await run_in_threadpool(read) if subject else None
        if account is None:
            headers = {"www-authenticate": 'Bearer error="invalid_token"'}
            return JSONResponse({"error": "invalid_token"}, status_code=401, headers=headers)
        return JSONResponse({"sub": account["account_id"], **_profile(account)})


def _problem(request: Request) -> str | None:
    """The error to send back to a registered address, or None."""
    query = request.query_params
    if any(len(query.getlist(name)) > 1 for name in query):
        return "invalid_request"
    if query.get("response_type") != "code":
        return "unsupported_response_type"
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        return "invalid_request"
    if not query.get("state") or any(len(query.get(name, "")) > _LONGEST_PARAMETER for name in _PARAMETERS):
        return "invalid_request"
    if "openid" not in query.get("scope", "").split():
        return "invalid_scope"
    return None


def _granted(account: dict[str, Any], asked: str) -> str:
    return scopes.granted(asked, data_protection_access=account["data_protection_access"], role=account["role"])


def _profile(account: dict[str, Any]) -> dict[str, Any]:
    profile = {"email": account["email"], "name": account["display_name"]}
    return profile | ({"locale": account["locale"]} if account["locale"] else {})


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
