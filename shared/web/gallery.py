"""Writes a page with every part on it, to look at: ``python -m shared.web.gallery OUT_DIR``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from starlette.requests import Request

from shared.web.mail.render import mail_environment, render_mail
from shared.web.pages import STATIC, Branding, Pages
from shared.web.sessions import Session

_MOMENT = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
# What somebody might write to make text lie about itself.
_HOSTILE = "nobody\u202egro.elpmaxe@\u202c <b>bold</b>"


def write_gallery(out_dir: Path) -> list[Path]:
    """Left to right, right to left, with a dialog, and a mail; needs no server: the stylesheet lies beside them."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for asset in STATIC.iterdir():
        (out_dir / asset.name).write_bytes(asset.read_bytes())
    pages = Pages(service="Users", branding=Branding("Meridian Example", "support@meridian.example.org, ext. 5050"))
    session = Session("id", "admin-1", "admin-1", frozenset(), _MOMENT, _MOMENT, "Bruno Example")
    rows = [
        {"at": _MOMENT, "what": "Access email sent", "who": "Bruno Example", "outcome": "Success", "kind": "ok"},
        {"at": _MOMENT, "what": "Recovery code asked for", "who": "Cleo", "outcome": "Denied", "kind": "danger"},
        {"at": _MOMENT, "what": "Sign-in failed", "who": _HOSTILE, "outcome": "Failure", "kind": "caution"},
    ]
    context = {"session": session, "moment": _MOMENT, "hostile": _HOSTILE, "rows": rows, "with_dialog": False}
    problems = {"email": "Enter one email address, like name@example.org", "issue": "Choose what the problem is"}
    request = Request({"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []})
    written = []
    variants: list[tuple[str, str, dict[str, object]]] = [
        ("components", "en", {"errors": problems}),
        ("components-rtl", "ar", {"errors": problems}),
        ("dialog", "en", {"errors": {"email": "", "issue": ""}, "with_dialog": True}),
    ]
    for name, lang, more in variants:
        body = bytes(pages.render(request, "components.html", {**context, **more}, lang=lang).body).decode()
        written.append(_write(out_dir / f"{name}.html", body.replace('"/static/', '"')))
    env = mail_environment([], organisation="Meridian Example", support_contact="support@meridian.example.org")
    for lang in ("en", "ar"):
        text, html = render_mail(env, "mail/sample", {"moment": _MOMENT, "hostile": _HOSTILE}, lang=lang)
        written += [_write(out_dir / f"mail-{lang}.html", html), _write(out_dir / f"mail-{lang}.txt", text)]
    return written


def _write(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


if __name__ == "__main__":
    for path in write_gallery(Path(sys.argv[1])):
        sys.stdout.write(f"{path}\n")
