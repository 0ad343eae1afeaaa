"""The console: search, and one reference's story as a timeline."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.audit.domain.cursor import InvalidCursor
from services.audit.domain.query import KEYS, InvalidQuery
from services.audit.domain.story import is_unbroken, tell
from services.audit.routes import SCOPE
from services.audit.settings import AuditSettings
from services.audit.usecases.read_records import Page, Reader, ReadRecords
from shared.kit.clock import Clock
from shared.kit.http.auth import TokenVerifier
from shared.schemas.reference import InvalidReference
from shared.schemas.reference import parse as parse_reference
from shared.web.pages import Pages
from shared.web.sessions import Session, Sessions
from shared.web.signin import OidcSettings, SignIn

HOME = "/console"
_PAGE_SIZE = 50
_NO_REFERENCE = "This is no reference ID. It looks like RA-7K2M-9QXT-5; a mistyped character is noticed."


def install_pages(
    app: FastAPI, settings: AuditSettings, read: ReadRecords, verify: TokenVerifier, clock: Clock
) -> None:
    """Adds the console, its sign-in and its files to the application."""
    pages = Pages(
        service="Audit",
        branding=settings.branding(),
        template_dir=Path(__file__).parent / "templates",
    )
    keys = list(settings.session_key.keys)
    public_url = settings.public_audit_url.rstrip("/")
    sessions = Sessions(service="audit", keys=keys, public_url=public_url, clock=clock)
    oidc = OidcSettings(
        issuer=settings.auth_issuer,
        client_id=settings.oidc_client_id,
        client_secret=settings.oidc_client_secret,
        redirect_url=f"{public_url}/signin/callback",
        scopes=(SCOPE,),
    )
    signin = SignIn(
        pages=pages,
        sessions=sessions,
        settings=oidc,
        keys=keys,
        public_url=public_url,
        verify=verify,
        home=HOME,
        clock=clock,
    )
    app.include_router(console_router(pages, signin, read))
    signin.install(app)
    pages.mount_static(app)


def console_router(pages: Pages, signin: SignIn, read: ReadRecords) -> APIRouter:
    """The console's pages; what they show is recorded as read, like any other answer."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def home() -> Response:
        return RedirectResponse(HOME, 303)

    @router.get(HOME)
    async def search(request: Request) -> Response:
        session = signin.require_session(request, SCOPE)
        given = request.query_params
        context = {**signin.page_context(session), "keys": KEYS, "query": given.get("q", ""), "ref": "", "errors": {}}
        if (typed := given.get("ref", "").strip()) != "":
            try:
                return RedirectResponse(f"{HOME}/references/{quote(parse_reference(typed))}", 303)
            except InvalidReference:
                return _search(pages, request, {**context, "ref": typed, "errors": {"ref": _NO_REFERENCE}}, 400)
        if "q" not in given:
            return _search(pages, request, context)
        try:
            reader = Reader(_actor(session), f"GET {HOME}")
            page = await read.search(given["q"], reader, limit=_PAGE_SIZE, cursor=given.get("cursor") or None)
        except (InvalidQuery, InvalidCursor) as error:
            return _search(pages, request, {**context, "errors": {"q": str(error)}}, 400)
        return _search(pages, request, context, page=page)

    @router.get(f"{HOME}/references/{{reference_id}}")
    async def reference(request: Request) -> Response:
        session = signin.require_session(request, SCOPE)
        try:
            reference_id = parse_reference(request.path_params["reference_id"])
        except InvalidReference:
            return pages.message(request, "No reference ID", _NO_REFERENCE, 400, action=(HOME, "Search"))
        records = await read.story(reference_id, Reader(_actor(session), f"GET {HOME}/references/{{reference_id}}"))
        if not records:
            text = f"No record has the reference ID {reference_id}."
            return pages.message(request, "Not found", text, 404, action=(HOME, "Search"))
        context = {
            **signin.page_context(session),
            "reference_id": reference_id,
            "steps": [tell(record) for record in records],
            "unbroken": is_unbroken(records),
        }
        return pages.render(request, "reference.html", context)

    return router


def _search(
    pages: Pages, request: Request, context: dict[str, object], status: int = 200, page: Page | None = None
) -> Response:
    steps = [tell(record) for record in page.records] if page is not None else []
    onward = ""
    if page is not None and page.next is not None:
        onward = f"{HOME}?{urlencode({'q': context['query'], 'cursor': page.next})}"
    size = page.tree_size if page is not None else None
    return pages.render(request, "search.html", {**context, "steps": steps, "next": onward, "tree_size": size}, status)


def _actor(session: Session) -> str:
    return session.account or session.subject
