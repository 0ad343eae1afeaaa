"""What the demo's two sites have in common: layout, stylesheet, security headers, start-up."""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HERE = Path(__file__).parent
_HOST = "127.0.0.1"


def environment(templates: Path) -> Environment:
    """Templates of one site over the common layout; everything is escaped, an unknown name is an error."""
    loader = ChoiceLoader([FileSystemLoader(templates), FileSystemLoader(_HERE / "templates")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


class SecurityHeaders:
    """Puts the site's headers on each answer that doesn't set them itself."""

    def __init__(self, app: ASGIApp, form_targets: tuple[str, ...] = ()) -> None:
        self._app = app
        # Browsers apply form-action to redirects after a form too: sign-in ends at a console's address.
        targets = " ".join(("'self'", *form_targets))
        policy = (
            "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; "
            f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
        )
        self._headers = {
            b"content-security-policy": policy.encode(),
            b"x-content-type-options": b"nosniff",
            # Not no-referrer, with which browsers send `Origin: null` with the site's own forms.
            b"referrer-policy": b"same-origin",
            b"cache-control": b"no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                extra = [(name, value) for name, value in self._headers.items() if name not in present]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def guards(form_targets: tuple[str, ...] = (), public_url: str = "") -> list[Middleware]:
    """Middleware of both sites. The host check is against DNS rebinding: the mailbox shows recovery codes."""
    hosts = dict.fromkeys([_HOST, "localhost", urlsplit(public_url).hostname or _HOST])
    return [
        Middleware(SecurityHeaders, form_targets=form_targets),
        Middleware(TrustedHostMiddleware, allowed_hosts=[*hosts], www_redirect=False),
    ]


def is_cross_site(request: Request) -> bool:
    """Whether another site's page made the browser send this: SameSite cookies ignore ports, so check it here."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}"


async def _stylesheet(request: Request) -> Response:
    return FileResponse(_HERE / "static" / "demo.css", headers={"cache-control": "max-age=300"})


async def _favicon(request: Request) -> Response:
    return Response(status_code=204)


async def _live(request: Request) -> Response:
    return PlainTextResponse("ok\n")


COMMON_ROUTES = [
    Route("/demo.css", _stylesheet),
    Route("/favicon.ico", _favicon),
    Route("/health/live", _live),
]


def serve(app: Starlette, port: int) -> None:
    """Run until SIGTERM; returns within a few seconds of it."""
    import uvicorn

    # uvicorn hands the signal on when it has stopped; by default that would end the process as if it had been killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    # No access log: the mailbox's query strings hold addresses.
    uvicorn.run(
        app,
        host=os.environ.get("READMIT_HOST") or _HOST,  # set in a container, whose own loopback nobody reaches
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def environment_value(name: str, default: str | None = None) -> str:
    """A setting from the environment; ends the process with a line that names it when it is missing."""
    value = os.environ.get(name, default)
    if not value:
        raise SystemExit(f"{name} is not set")
    return value
