"""What the platform's page endpoints share: the session cookie, forms, templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from deploy.demo.identity import sessions
from deploy.demo.identity.database import Database
from deploy.demo.identity.sessions import Session, Stage
from deploy.demo.identity.settings import Settings
from deploy.demo.identity.signin import Client
from deploy.demo.pages import environment, is_cross_site

_COOKIE = "readmit_demo_identity"
_LARGEST_FORM = 64 * 1024
_LONGEST_USER_AGENT = 512


class Browser:
    """Reads requests and writes answers; knows nothing of what pages are for."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._secure = settings.public_url.startswith("https:")
        self._templates = environment(Path(__file__).parent / "templates")
        self._templates.globals.update(site="Demo identity platform", cant_sign_in=f"{settings.intake_url}/")

    def page(self, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        return HTMLResponse(self._templates.get_template(name).render(**values), status_code=status)

    async def session(self, request: Request, *stages: Stage) -> Session | None:
        """The browser's session where it is at one of the stages."""
        token = request.cookies.get(_COOKIE, "")
        if not token:
            return None
        session = await run_in_threadpool(self._find, token)
        return session if session is not None and session.stage in stages else None

    def _find(self, token: str) -> Session | None:
        with self._database.reading() as db:
            return sessions.find(db, token)

    async def account(self, session: Session) -> dict[str, Any]:
        """The row of the session's account."""

        def read() -> dict[str, Any]:
            with self._database.reading() as db:
                query = "SELECT * FROM accounts WHERE account_id = ?"
                return dict(db.execute(query, (session.account_id,)).fetchone())

        return await run_in_threadpool(read)

    async def form(self, request: Request, *, from_anywhere: bool = False) -> dict[str, str]:
        """The fields of a form, the first of each name. Refuses forms of other sites (CSRF) and large ones."""
        if not from_anywhere and is_cross_site(request):
            raise HTTPException(403, "This form was not sent from a page of this site.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_FORM:
                raise HTTPException(413, "This form is too large.")
        fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True, max_num_fields=50)
        return {name: values[0] for name, values in fields.items()}

    def redirect(self, path: str, token: str | None = None) -> Response:
        """Go on with a GET; with a token, in the session that it opens."""
        response = RedirectResponse(path, status_code=303)
        if token is not None:
            response.set_cookie(_COOKIE, token, httponly=True, samesite="lax", secure=self._secure)
        return response

    def forget(self, response: Response) -> Response:
        response.delete_cookie(_COOKIE, httponly=True, samesite="lax", secure=self._secure)
        return response

    async def end(self, session: Session) -> None:
        def delete() -> None:
            with self._database.transaction() as db:
                sessions.end(db, session)

        await run_in_threadpool(delete)


def client_of(request: Request) -> Client:
    """The connection's address: the demo stands behind no proxy and believes no header."""
    agent = request.headers.get("user-agent", "")[:_LONGEST_USER_AGENT]
    return Client(request.client.host if request.client else "127.0.0.1", agent if agent.isprintable() else None)
