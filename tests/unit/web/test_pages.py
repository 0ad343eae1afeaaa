"""Rendered pages: headers, escaping, undefined names, files, and what the parts promise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from jinja2 import UndefinedError
from starlette.requests import Request

from shared.web.gallery import write_gallery
from shared.web.headers import ContentPolicy
from shared.web.pages import Branding, Pages
from shared.web.templating import TEMPLATES

_MOMENT = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)


def a_request(path: str = "/") -> Request:
    return Request({"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []})


def pages_of(directory: Path, templates: dict[str, str] | None = None, **more: object) -> Pages:
    for name, text in (templates or {}).items():
        (directory / name).write_text(text)
    branding = Branding("Meridian <Example>", "support@meridian.example.org", "#ffcc00")
    return Pages(service="Users", branding=branding, template_dir=directory, **more)  # type: ignore[arg-type]


def body_of(pages: Pages, name: str, context: Mapping[str, object] | None = None, **more: str) -> str:
    return bytes(pages.render(a_request(), name, context, **more).body).decode()  # type: ignore[arg-type]


def test_every_page_carries_the_security_headers(tmp_path: Path) -> None:
    answer = pages_of(tmp_path).message(a_request(), "Title", "Text", 418)
    assert answer.status_code == 418
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_a_page_may_post_to_the_identity_platform_and_run_a_script_of_ours(tmp_path: Path) -> None:
    policy = ContentPolicy(form_action=("https://id.example.org",), script_src=("'self'",))
    answer = pages_of(tmp_path, {"x.html": "x"}).render(a_request(), "x.html", csp=policy)
    sent = answer.headers["content-security-policy"]
    assert "form-action 'self' https://id.example.org;" in sent
    assert "script-src 'self';" in sent


@pytest.mark.parametrize("value", ["https://x.example; script-src *", "a b", "a,b", "a\r\nSet-Cookie: x"])
def test_a_policy_holds_one_source_a_value(value: str) -> None:
    with pytest.raises(ValueError, match="not one source"):
        ContentPolicy(form_action=(value,)).header()


def test_data_is_escaped_wherever_it_stands(tmp_path: Path) -> None:
    templates = {"x.html": "<p title=\"{{ v }}\">{{ v }}</p>{{ _('by %(who)s', who=v) }}{{ [v, v]|join('·') }}"}
    body = body_of(pages_of(tmp_path, templates), "x.html", {"v": "<script>\"'"})
    assert "<script" not in body
    assert body.count("&lt;script&gt;&#34;&#39;") == 5


def test_hiding_characters_are_shown_wherever_data_stands(tmp_path: Path) -> None:
    """Trojan Source (CVE-2021-42574): also through filters and translations that give Markup."""
    templates = {
        "x.html": "{{ v }}{{ v ~ '<b>'|safe }}{{ _('by %(who)s', who=v) }}{% trans who=v %}by {{ who }}{% endtrans %}"
        "{{ [v]|join('<br>'|safe) }}<i{{ {'title': v}|xmlattr }}>{{ '%s'|format(v) }}</i>"
    }
    body = body_of(pages_of(tmp_path, templates), "x.html", {"v": "a\u202eb"})
    assert "\u202e" not in body
    assert body.count("⟨U+202E⟩") == 7


def test_a_missing_name_is_an_error_and_never_an_empty_space(tmp_path: Path) -> None:
    pages = pages_of(tmp_path, {"x.html": "{{ missing }}", "y.html": "{% if missing %}{% endif %}"})
    for name in ("x.html", "y.html"):
        with pytest.raises(UndefinedError):
            body_of(pages, name)


def test_times_are_written_as_the_contract_does(tmp_path: Path) -> None:
    pages = pages_of(tmp_path, {"x.html": "{{ v }}|{{ v|utc }}|{{ v|iso }}"})
    assert body_of(pages, "x.html", {"v": _MOMENT}) == (
        "2026-11-24 01:43:05 UTC|2026-11-24 01:43:05 UTC|2026-11-24T01:43:05Z"
    )
    with pytest.raises(ValueError, match="without a zone"):
        body_of(pages, "x.html", {"v": _MOMENT.replace(tzinfo=None)})


def test_none_is_empty_and_zero_is_zero(tmp_path: Path) -> None:
    pages = pages_of(tmp_path, {"x.html": "[{{ n }}{{ v }}]"})
    assert body_of(pages, "x.html", {"n": None, "v": 0}) == "[0]"


def test_pages_speak_the_language_asked_for(tmp_path: Path) -> None:
    class Arabic(NullTranslations):
        def gettext(self, message: str) -> str:
            return "خطأ" if message == "Error" else message

    pages = pages_of(tmp_path, {"x.html": "{% extends 'base.html' %}"}, translations={"ar": Arabic()})
    context = {"errors": {"email": "x"}}
    body = body_of(pages, "x.html", context, lang="ar")
    assert '<html lang="ar" dir="rtl">' in body
    assert "<title>خطأ: " in body
    assert "<title>Error: " in body_of(pages, "x.html", context)


@pytest.mark.parametrize(
    "logo", ["https://evil.example/x.png", "//evil.example/x.png", "javascript:x", "data:text/html,x"]
)
def test_a_logo_is_never_remote(logo: str) -> None:
    with pytest.raises(ValueError, match="never another site's"):
        Branding("X", logo_url=logo)


async def test_the_stylesheet_is_kept_for_a_year_under_an_address_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "r.js").write_text("1")
    pages = pages_of(tmp_path, static_dir=tmp_path)
    app = FastAPI()
    pages.mount_static(app)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://r.example") as browser:
        current = await browser.get(pages.static_url("readmit.css"))
        assert current.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert current.headers["content-type"] == "text/css; charset=utf-8"
        assert "--accent:#ffcc00" in current.text
        other = await browser.get("/static/readmit.css?v=older")
        assert other.headers["cache-control"] == "no-cache"
        again = await browser.get("/static/readmit.css", headers={"if-none-match": current.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert (await browser.get(pages.static_url("r.js"))).text == "1"
        for missing in ("/static/none.css", "/static/..%2fpages.py", "/static/", "/static/x.html"):
            assert (await browser.get(missing)).status_code == 404
    with pytest.raises(KeyError):
        pages.static_url("none.css")


class _Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    written = write_gallery(tmp_path_factory.mktemp("gallery"))
    return {path.name: path.read_text("utf-8") for path in written}


def test_ids_are_unique_and_everything_that_names_one_finds_it(gallery: dict[str, str]) -> None:
    for name, text in gallery.items():
        outline = _Outline()
        outline.feed(text)
        ids = [attributes["id"] for _, attributes in outline.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        for _, attributes in outline.elements:
            for reference in ("for", "aria-describedby", "aria-labelledby"):
                for target in (attributes.get(reference) or "").split():
                    assert target in ids, (name, reference, target)
            href = attributes.get("href") or ""
            if href.startswith("#") and len(href) > 1:
                assert href[1:] in ids, (name, href)


def test_each_field_has_a_label(gallery: dict[str, str]) -> None:
    outline = _Outline()
    outline.feed(gallery["components.html"])
    labelled = {attributes.get("for") for tag, attributes in outline.elements if tag == "label"}
    fields = [a for tag, a in outline.elements if tag in ("input", "select", "textarea") and a.get("type") != "hidden"]
    assert len(fields) > 8
    assert {attributes.get("id") for attributes in fields} <= labelled


def test_nothing_is_inline_that_the_policy_forbids(gallery: dict[str, str]) -> None:
    for name in ("components.html", "components-rtl.html", "dialog.html"):
        outline = _Outline()
        outline.feed(gallery[name])
        assert not [tag for tag, _ in outline.elements if tag in ("script", "style", "iframe", "object")]
        assert not [key for _, a in outline.elements for key in a if key == "style" or key.startswith("on")]


def test_behind_a_dialog_the_page_is_inert(gallery: dict[str, str]) -> None:
    assert '<div class="page" inert>' in gallery["dialog.html"]
    assert '<div class="page">' in gallery["components.html"]


def test_no_template_turns_escaping_off() -> None:
    """``|safe`` and ``autoescape false`` are how escaping gets lost; nothing here needs either."""
    for path in TEMPLATES.rglob("*.html"):
        assert not re.search(r"\|\s*safe\b|autoescape\s+false", path.read_text()), path
