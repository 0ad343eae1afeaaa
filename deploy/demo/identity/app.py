"""The platform put together: one database, its pages, the OpenID provider, the sender of events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.demo.identity.browser import Browser
from deploy.demo.identity.database import Database
from deploy.demo.identity.grants import GrantVerifier
from deploy.demo.identity.provider import Provider
from deploy.demo.identity.recovery import Recovery
from deploy.demo.identity.recovery_pages import RecoveryPages
from deploy.demo.identity.sender import EventSender
from deploy.demo.identity.settings import Settings
from deploy.demo.identity.signin import SignIn
from deploy.demo.identity.signin_pages import SignInPages
from deploy.demo.identity.tokens import Signer
from deploy.demo.pages import COMMON_ROUTES, guards

_SUBJECT = "identity-platform"


def create_app(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Starlette:
    """Build the application; `transport` is how it reaches Readmit, for tests."""
    database = Database(settings.demo_dir)
    signer = Signer(settings.demo_dir, settings.public_url)
    # Readmit is on this machine: no proxy of the environment in between.
    client = httpx.AsyncClient(transport=transport, timeout=10, trust_env=False)
    sender = EventSender(
        database,
        settings.intake_url,
        lambda seconds: signer.access_token(_SUBJECT, "readmit.events", lifetime=seconds),
        client,
    )
    browser = Browser(settings, database)
    verifier = GrantVerifier(settings.recovery_url, settings.audience, client)
    pages = [
        *SignInPages(settings, browser, database, SignIn(database), sender.wake).routes(),
        *RecoveryPages(browser, verifier, Recovery(database), sender.wake).routes(),
        *Provider(settings, browser, database, signer).routes(),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        sending = asyncio.create_task(sender.run())
        try:
            yield
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
            await client.aclose()

    async def ready(request: Request) -> Response:
        return JSONResponse({"status": "ready"})

    async def on_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return browser.page("error.html", status=error.status_code, message=error.detail)

    return Starlette(
        routes=[*COMMON_ROUTES, Route("/health/ready", ready), *pages],
        middleware=guards((settings.recovery_url, settings.audit_url), settings.public_url),
        lifespan=lifespan,
        exception_handlers={HTTPException: on_error},
    )
