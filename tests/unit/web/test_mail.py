"""The two parts of a mail: the same facts, nothing remote, nothing that reorders or forges."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from shared.web.mail.render import mail_environment, render_mail
from shared.web.text import one_line

_MOMENT = datetime(2026, 11, 24, 1, 43, 5, tzinfo=UTC)
_ENV = mail_environment([], organisation="Meridian & Co", support_contact="support@meridian.example.org")


def rendered(hostile: str = "x", lang: str = "en") -> tuple[str, str]:
    return render_mail(_ENV, "mail/sample", {"moment": _MOMENT, "hostile": hostile}, lang=lang)


def words_of(page: str) -> str:
    """What a reader sees of it."""
    body = re.sub(r"<(title|style)>.*?</\1>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_the_text_has_one_fact_a_line() -> None:
    text, _ = rendered()
    assert "Request details\nReference ID: RA-7K2M-9QXT-5\nSubmitted email: x\n" in text
    assert "Date and time: 2026-11-24 01:43:05 UTC\n" in text
    assert "Recent sign-in networks: AS64500 Example Transit; AS64511 Harbour Mobile\n" in text
    assert "\n    7K2M-9QXT-5ABCD\n" in text
    assert "&amp;" not in text
    assert "\n\n\n" not in text


@given(st.text())
def test_a_value_forges_nothing_in_either_part(value: str) -> None:
    plain_lines = rendered("x")[0].splitlines()
    text, page = rendered(value)
    assert len(text.splitlines()) == len(plain_lines)
    assert f"Submitted email: {one_line(value)}" in text.split("\nDate and time")[0]
    for part in (text, page):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c\x00-\x08\x0b-\x1f\x7f-\x9f]", part)
    assert page.count("<") == rendered("x")[1].count("<")


def test_every_line_of_the_text_is_in_the_html() -> None:
    text, page = rendered("nobody\u202e <b>")
    seen = words_of(page)
    for line in text.split("\n-- \n")[0].splitlines():
        assert " ".join(line.split()).rstrip(":") in seen, line


def test_nothing_is_loaded_and_nothing_acts() -> None:
    _, page = rendered()
    assert not re.search(
        r"<(?:img|link|script|form|iframe|object|video|audio|base)\b|url\(|@import|\bsrc=|background=", page
    )


def test_tables_are_for_layout_only_and_styles_are_in_the_elements() -> None:
    _, page = rendered()
    assert page.count("<table") == page.count('<table role="presentation"') == 1
    body = page.split("<body")[1]
    for tag in re.findall(r"<(?:h1|h2|p|td|div|a|ul)\b[^>]*>", body):
        assert "style=" in tag, tag


def test_language_and_direction_are_said() -> None:
    assert '<html lang="ar" dir="rtl">' in rendered(lang="ar")[1]
    assert 'lang="en" dir="ltr"' in rendered()[1]
    assert 'content="light dark"' in rendered()[1]


def test_a_missing_name_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render_mail(_ENV, "mail/sample", {"moment": _MOMENT})


def test_a_services_templates_use_the_parts(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text(
        '{% extends "mail/base.txt" %}{% block content %}{{ parts.fact("A:", 0) }}{% endblock %}'
    )
    (tmp_path / "hello.html").write_text(
        '{% extends "mail/base.html" %}{% block title %}Hi{% endblock %}'
        '{% block content %}{{ parts.facts([("A:", 0), ("B", none)]) }}{% endblock %}'
    )
    env = mail_environment([tmp_path], organisation="O", support_contact="")
    text, page = render_mail(env, "hello", {})
    assert text == "A: 0\n\n-- \nO\n"
    assert "A: 0 B:" in words_of(page)
