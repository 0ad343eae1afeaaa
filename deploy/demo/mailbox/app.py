"""The mailbox's pages and API.

What arrives here was written by anyone, so an HTML part is only ever shown inside a sandboxed frame, under a policy
that knows no script and no remote address (learnt from CVE-2022-50908, stored script in a mail catcher's page).
"""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from deploy.demo.mailbox.linkify import linkify
from deploy.demo.mailbox.message import Mail
from deploy.demo.mailbox.smtp import serve_smtp
from deploy.demo.mailbox.store import MessageStore
from deploy.demo.pages import COMMON_ROUTES, environment, guards, is_cross_site

# Popups, so that the links of a mail open in a tab of their own; no scripts, no forms, no origin.
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
_FRAME_POLICY = (
    f"sandbox {_SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; frame-ancestors 'self'"
)
_PARTS = ("text", "html", "headers", "source")
_PAGE_SIZE = 50


class Mailbox:
    """Endpoints over a store; the store's calls block, so each runs in a worker thread."""

    def __init__(self, store: MessageStore) -> None:
        self._store = store
        self._templates = environment(Path(__file__).parent / "templates")
        self._templates.globals["site"] = "Demo mailbox"
        self.smtp_ready = False

    def routes(self) -> list[Route]:
        return [
            *COMMON_ROUTES,
            Route("/", self.index),
            Route("/delete", self.delete_all, methods=["POST"]),
            Route("/message/{id}", self.show),
            Route("/message/{id}/html", self.html_part),
            Route("/health/ready", self.ready),
            Route("/livez", self.livez),
            Route("/api/v1/messages", self.api_messages, methods=["GET", "DELETE"]),
            Route("/api/v1/search", self.api_search),
            Route("/api/v1/message/{id}", self.api_message),
            Route("/api/v1/message/{id}/raw", self.api_raw),
            Route("/api/v1/message/{id}/headers", self.api_headers),
        ]

    def _page(self, name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(name).render(**values))

    async def _mail(self, request: Request) -> Mail:
        stored = await run_in_threadpool(self._store.get, request.path_params["id"])
        if stored is None:
            raise HTTPException(404, "There is no such message.")
        return Mail(stored)

    async def index(self, request: Request) -> Response:
        to = request.query_params.get("to", "").strip()
        start = _number(request, "start", 0, 1_000_000)

        def read() -> HTMLResponse:
            found = self._find(lambda mail: not to or mail.delivered_to(to), _PAGE_SIZE + 1, start)
            return self._page(
                "list.html",
                mails=found[:_PAGE_SIZE],
                to=to,
                newer=max(0, start - _PAGE_SIZE) if start else None,
                older=start + _PAGE_SIZE if len(found) > _PAGE_SIZE else None,
                recipients=self._store.recipients(),
            )

        return await run_in_threadpool(read)

    def _find(self, matches: Callable[[Mail], bool], limit: int, start: int) -> list[Mail]:
        mails = (Mail(stored) for stored in self._store.newest_first())
        return list(islice((mail for mail in mails if matches(mail)), start, start + limit))

    async def show(self, request: Request) -> Response:
        mail = await self._mail(request)
        part = request.query_params.get("part", "text" if mail.text else "html")
        if part not in _PARTS:
            raise HTTPException(404, "There is no such part.")
        return self._page("message.html", mail=mail, part=part, parts=_PARTS, linkify=linkify, sandbox=_SANDBOX)

    async def html_part(self, request: Request) -> Response:
        mail = await self._mail(request)
        page = f'<!doctype html><base target="_blank">{mail.html}'
        return HTMLResponse(page, headers={"content-security-policy": _FRAME_POLICY})

    async def delete_all(self, request: Request) -> Response:
        if is_cross_site(request):
            raise HTTPException(403, "This form was not sent from the mailbox's page.")
        await run_in_threadpool(self._store.delete_all)
        return RedirectResponse("/", status_code=303)

    async def ready(self, request: Request) -> Response:
        if not self.smtp_ready:
            return JSONResponse({"status": "not ready", "waiting_for": ["smtp"]}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def livez(self, request: Request) -> Response:
        return PlainTextResponse("ok")

    async def api_messages(self, request: Request) -> Response:
        if request.method == "DELETE":
            await run_in_threadpool(self._store.delete_all)
            return PlainTextResponse("ok")
        limit, start = _number(request, "limit", 50, 1000), _number(request, "start", 0, 1_000_000)
        page = await run_in_threadpool(self._store.page, limit, start)
        total = await run_in_threadpool(self._store.count)
        return JSONResponse(_listing([Mail(stored) for stored in page], total, total, start))

    async def api_search(self, request: Request) -> Response:
        matches = parse_query(request.query_params.get("query", ""))
        limit, start = _number(request, "limit", 50, 1000), _number(request, "start", 0, 1_000_000)
        found = await run_in_threadpool(self._find, matches, 1_000_000, 0)
        total = await run_in_threadpool(self._store.count)
        return JSONResponse(_listing(found[start : start + limit], total, len(found), start))

    async def api_message(self, request: Request) -> Response:
        return JSONResponse((await self._mail(request)).full())

    async def api_raw(self, request: Request) -> Response:
        return Response((await self._mail(request)).stored.raw, media_type="text/plain; charset=utf-8")

    async def api_headers(self, request: Request) -> Response:
        headers: dict[str, list[str]] = {}
        for name, value in (await self._mail(request)).headers:
            headers.setdefault(name, []).append(value)
        return JSONResponse(headers)


def _listing(mails: list[Mail], total: int, matching: int, start: int) -> dict[str, Any]:
    return {
        "total": total,
        "unread": total,
        "count": len(mails),
        "messages_count": matching,
        "start": start,
        "tags": [],
        "messages": [mail.summary() for mail in mails],
    }


def _number(request: Request, name: str, default: int, maximum: int) -> int:
    text = request.query_params.get(name, "")
    return min(int(text), maximum) if text.isascii() and text.isdigit() and len(text) < 10 else default


def parse_query(query: str) -> Callable[[Mail], bool]:
    """Mailpit's `to:`, `from:`, `subject:`, `message-id:` and plain words; all of them must hold."""
    try:
        terms = shlex.split(query.replace("'", r"\'"))
    except ValueError:  # an open quote
        terms = query.split()
    fields: dict[str, Callable[[Mail, str], bool]] = {
        "to": lambda mail, value: mail.delivered_to(value),
        "addressed": lambda mail, value: mail.delivered_to(value) or value in mail.sender["Address"].lower(),
        "from": lambda mail, value: value in f"{mail.sender['Name']} {mail.sender['Address']}".lower(),
        "subject": lambda mail, value: value in mail.subject.lower(),
        "message-id": lambda mail, value: value.strip("<>") == mail.message_id.lower(),
    }

    def holds(mail: Mail, term: str) -> bool:
        name, _, value = term.partition(":")
        if value and name.lower() in fields:
            return fields[name.lower()](mail, value.lower())
        return term.lower() in f"{mail.subject} {mail.text}".lower()

    return lambda mail: all(holds(mail, term) for term in terms)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return PlainTextResponse(f"{error.detail}\n", status_code=error.status_code)


def create_app(folder: Path, smtp_port: int) -> Starlette:
    """The page and, for as long as it runs, the SMTP server on 127.0.0.1."""
    store = MessageStore(folder)
    mailbox = Mailbox(store)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        server = await serve_smtp(store, "127.0.0.1", smtp_port)
        mailbox.smtp_ready = True
        try:
            yield
        finally:
            mailbox.smtp_ready = False
            server.close()

    return Starlette(
        routes=mailbox.routes(),
        middleware=guards(),
        lifespan=lifespan,
        exception_handlers={HTTPException: _on_error},
    )
