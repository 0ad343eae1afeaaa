"""A console with sign-in, and an OpenID provider to go with it, neither on a socket."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, KeyParameters, KeySet, OKPKey, RSAKey
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.kit.http.auth import InvalidToken, Principal
from shared.web.oidc import Provider, code_challenge
from shared.web.pages import Branding, Pages
from shared.web.sessions import Sessions
from shared.web.signin import OidcSettings, SignIn

ISSUER = "https://id.example.org"
CONSOLE = "https://recovery.example.org"
CLIENT_ID = "readmit console"
CLIENT_SECRET = "s3cret:with/odd chars"
KEY = b"k" * 32


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def forward(self, by: timedelta) -> None:
        self.time += by


def signing_key(algorithm: str) -> RSAKey | ECKey | OKPKey:
    parameters: KeyParameters = {"kid": f"key-{algorithm}"}
    if algorithm == "RS256":
        return RSAKey.generate_key(2048, parameters)
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters)
    return OKPKey.generate_key("Ed25519", parameters)


@dataclass
class StubProvider:
    """An OpenID provider that checks what it is sent; its knobs make it misbehave."""

    clock: Clock
    algorithm: str = "ES256"
    away: bool = False
    auth_methods: list[str] = field(default_factory=lambda: ["client_secret_basic"])
    claims: dict[str, Any] = field(default_factory=dict)
    published: bool = True
    requests: list[httpx.Request] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = signing_key(self.algorithm)

    def authorize(self, url: str) -> str:
        """What the person's browser would do there: signs in, comes back with a code. Gives the callback's address."""
        query = dict(parse_qsl(urlsplit(url).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = query
        return f"/signin/callback?code={code}&state={query['state']}"

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.away:
            raise httpx.ConnectError("refused", request=request)
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.metadata())
            case "/keys":
                key = self.key if self.published else signing_key(self.algorithm)
                return httpx.Response(200, json=KeySet([key]).as_dict(private=False))
            case "/token":
                return self.token(request)
        return httpx.Response(404)

    def metadata(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "token_endpoint_auth_methods_supported": self.auth_methods,
        }

    def token(self, request: httpx.Request) -> httpx.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        asked = self.codes.pop(form["code"], None)
        if asked is None or asked["code_challenge"] != code_challenge(form["code_verifier"]):
            return httpx.Response(400, json={"error": "invalid_grant"})
        expires = int((self.clock() + timedelta(minutes=5)).timestamp())
        claims = {"iss": ISSUER, "aud": CLIENT_ID, "sub": "admin-1", "exp": expires, "nonce": asked["nonce"]}
        claims |= {"name": "Bruno Example"} | self.claims
        header = {"alg": self.algorithm, "kid": self.key.kid}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)
            id_token = jwt.encode(header, claims, self.key, algorithms=[self.algorithm])
        return httpx.Response(200, json={"access_token": "an-access-token", "id_token": id_token})


@dataclass
class Console:
    app: Starlette
    sessions: Sessions
    signin: SignIn
    provider: StubProvider
    clock: Clock
    principal: Principal


def a_console(provider: StubProvider, clock: Clock, *, configured: bool = True) -> Console:
    pages = Pages(service="Users", branding=Branding("Meridian Example", "support@meridian.example.org"))
    sessions = Sessions(service="recovery", keys=[KEY], public_url=CONSOLE, clock=clock)
    secret = SecretStr(CLIENT_SECRET) if configured else None
    settings = OidcSettings(
        ISSUER, CLIENT_ID if configured else None, secret, f"{CONSOLE}/signin/callback", ("readmit.recover",)
    )
    principal = Principal("admin-1", "acc-1", frozenset({"readmit.recover"}), clock() + timedelta(minutes=5))

    async def verify(token: str) -> Principal:
        if token != "an-access-token":
            raise InvalidToken("a bad token")
        return principal

    signin = SignIn(
        pages=pages,
        sessions=sessions,
        settings=settings,
        keys=[KEY],
        public_url=CONSOLE,
        verify=verify,
        home="/console/users",
        provider=Provider(settings, connect=provider.client, clock=clock),
        clock=clock,
    )

    async def show(request: Request) -> Response:
        session = signin.require_session(request, "readmit.recover")
        return pages.message(request, f"Hello {session.name}", f"token={sessions.csrf_token(session)}")

    async def forbidden(request: Request) -> Response:
        signin.require_session(request, "readmit.audit")
        return Response("never")

    async def act(request: Request) -> Response:
        session = await signin.require_form(request, "readmit.recover")
        return Response(f"done by {session.account}")

    app = Starlette(
        routes=[
            Route("/console/users", show),
            Route("/console/users", act, methods=["POST"]),
            Route("/audit", forbidden),
        ]
    )
    signin.install(app)
    pages.mount_static(app)
    return Console(app, sessions, signin, provider, clock, principal)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider(clock: Clock) -> StubProvider:
    return StubProvider(clock)


@pytest.fixture
def console(provider: StubProvider, clock: Clock) -> Console:
    return a_console(provider, clock)


@pytest.fixture
async def browser(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_of(console) as client:
        yield client


def browser_of(console: Console) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(console.app), base_url=CONSOLE, follow_redirects=False)


async def sign_in(browser: httpx.AsyncClient, provider: StubProvider, onward: str = "/console/users") -> httpx.Response:
    begun = await browser.get("/signin", params={"next": onward})
    assert begun.status_code == 303, begun.text
    return await browser.get(provider.authorize(begun.headers["location"]))
