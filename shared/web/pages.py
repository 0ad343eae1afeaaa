"""Rendering a service's HTML pages, and serving the files they need."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from shared.web.colour import accent_stylesheet
from shared.web.headers import ContentPolicy, security_headers
from shared.web.templating import build_environment, translated
from shared.web.text import direction

STATIC = Path(__file__).parent / "static"
STYLESHEET = "readmit.css"

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png"}


@dataclass(frozen=True)
class Branding:
    """What pages say of the organisation that runs them."""

    organisation: str
    support_contact: str = ""
    accent: str | None = None
    """``#rrggbb``; a colour too faint for text is darkened (or, in the dark scheme, lightened) until it is legible."""
    logo_url: str | None = None
    """A ``data:`` address or a path of our own: nothing remote is ever loaded."""

    def __post_init__(self) -> None:
        logo = self.logo_url
        if logo is not None and not logo.startswith("data:image/") and (logo[:1] != "/" or logo[:2] == "//"):
            raise ValueError("the logo is a data:image/ address or a path, never another site's")


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    media_type: str
    etag: str


class Pages:
    """One service's pages. `translations` maps a language to its catalog; English needs none."""

    def __init__(
        self,
        *,
        service: str,
        branding: Branding,
        template_dir: Path | None = None,
        static_dir: Path | None = None,
        translations: Mapping[str, NullTranslations] | None = None,
        policy: ContentPolicy | None = None,
    ) -> None:
        self._policy = policy or ContentPolicy()
        self._translations = dict(translations or {})
        self._static = _read_static(static_dir, branding)
        self.env = build_environment([template_dir] if template_dir else [])
        self.env.globals.update(
            organisation=branding.organisation,
            support_contact=branding.support_contact,
            logo_url=branding.logo_url,
            accent=branding.accent,
            service_name=service,
            static_url=self.static_url,
        )

    def static_url(self, name: str) -> str:
        """The address of a file, changed with its content so that it can be kept for a year. KeyError: no such file."""
        return f"/static/{name}?v={self._static[name].etag}"

    def render(
        self,
        request: Request,
        template: str,
        context: Mapping[str, Any] | None = None,
        status_code: int = 200,
        csp: ContentPolicy | None = None,
        *,
        lang: str = "en",
        headers: Mapping[str, str] | None = None,
    ) -> HTMLResponse:
        """The page, never cached, with every security header. Raises UndefinedError for a name that is missing."""
        variables: dict[str, Any] = {"session": None, "csrf_token": "", "path": request.url.path}
        variables |= {"lang": lang, "dir": direction(lang)} | dict(context or {})
        with translated(self._translations.get(lang)):
            body = self.env.get_template(template).render(variables)
        sent = {**security_headers(csp or self._policy), "Content-Language": lang, **(headers or {})}
        return HTMLResponse(body, status_code=status_code, headers=sent)

    def message(
        self,
        request: Request,
        title: str,
        text: str,
        status_code: int = 200,
        *,
        action: tuple[str, str] | None = None,
        lang: str = "en",
    ) -> HTMLResponse:
        """A page that only says something. `action` is the address and the words of one link onward."""
        context = {"title": title, "text": text, "action": action}
        return self.render(request, "message.html", context, status_code, lang=lang)

    def mount_static(self, app: Starlette) -> None:
        """Serve ``/static/<name>``: for a year under the address that `static_url` gives, else not kept."""
        app.router.routes.append(Route("/static/{name}", self._serve_static, methods=["GET"], include_in_schema=False))

    async def _serve_static(self, request: Request) -> Response:
        file = self._static.get(request.path_params["name"])
        if file is None:
            return Response("Not found\n", status_code=404, media_type="text/plain")
        current = request.query_params.get("v") == file.etag
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
            "ETag": f'"{file.etag}"',
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)


def _read_static(service_dir: Path | None, branding: Branding) -> dict[str, StaticFile]:
    files: dict[str, StaticFile] = {}
    for directory in (STATIC, *([service_dir] if service_dir else [])):
        for path in sorted(directory.iterdir()):
            if path.suffix not in _MEDIA_TYPES:
                continue
            content = path.read_bytes()
            if path.name == STYLESHEET and branding.accent:
                # In the stylesheet rather than in the page: the policy allows no inline style.
                content += accent_stylesheet(branding.accent).encode()
            etag = hashlib.sha256(content).hexdigest()[:16]
            files[path.name] = StaticFile(content, _MEDIA_TYPES[path.suffix], etag)
    return files
