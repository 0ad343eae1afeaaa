"""Languages: negotiation, and catalogs that say everything."""

from __future__ import annotations

import gettext
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from hypothesis import given
from hypothesis import strategies as st

from services.intake import messages
from services.intake.adapters.catalogs import LOCALE, load_catalogs
from services.intake.domain.languages import LANGUAGES, negotiate

ROOT = Path(__file__).parents[3]
FRAME = [("base.html", "jinja2"), ("fields.html", "jinja2")]


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("de", "de"), ("de-AT", "de"), ("DE", "de"), ("ar-EG,en;q=0.5", "ar"), ("fr,de;q=0.3", "de"),
        ("fr", "en"), ("*", "en"), ("en;q=0.4, de;q=0.8", "de"), ("de;q=0, en", "en"), ("de;q=0, de-DE;q=0.9", "en"),
        ("de;q=2", "en"), ("de;;", "en"), ("x" * 5000, "en"), ("fr;q=1, *;q=0.5, de;q=0.2", "en"),
        ("de , ar", "de"), ("de;q=0.999", "de"),
    ],
)  # fmt: skip
def test_the_browsers_preference_is_followed(header: str, language: str) -> None:
    assert negotiate(header) == language


@given(st.text())
def test_any_header_has_a_language(header: str) -> None:
    assert negotiate(header) in LANGUAGES


def _used_messages() -> set[str | tuple[str, ...]]:
    found: set[str | tuple[str, ...]] = set()
    sources = [
        (ROOT / "services/intake", [("messages.py", "python"), ("templates/*.html", "jinja2")]),
        (ROOT / "shared/web/templates", FRAME),
    ]
    for folder, methods in sources:
        for _, _, message, _, _ in extract_from_dir(str(folder), method_map=methods):
            found.add(tuple(message) if isinstance(message, tuple | list) else message)
    return found


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_text_is_translated(language: str) -> None:
    folder = LOCALE / language / "LC_MESSAGES"
    with (folder / "intake.po").open("rb") as file:
        source = read_po(file)
    used = _used_messages()
    assert len(used) > 30
    for text in used:
        message = source.get(text if isinstance(text, str) else text[0])
        assert message is not None, f"{language} lacks {text!r}"
        strings = message.string if isinstance(message.string, tuple | list) else [message.string]
        assert all(strings), f"{language} lacks {text!r}"
    with (folder / "intake.mo").open("rb") as file:
        compiled = read_mo(file)
    for message in source:
        if message.id:
            same = compiled.get(message.id if isinstance(message.id, str) else message.id[0])
            assert same is not None, "run pybabel compile (see locale/babel.cfg)"
            forms = tuple(same.string) if isinstance(same.string, list) else same.string
            assert forms == message.string, "run pybabel compile (see locale/babel.cfg)"


def test_numbers_are_worded_by_each_languages_rules() -> None:
    catalogs = load_catalogs()
    assert messages.throttled(catalogs["en"], 1).endswith("1 minute")
    assert messages.throttled(catalogs["de"], 2).endswith("2 Minuten noch einmal")
    assert len({messages.throttled(catalogs["ar"], n).replace(str(n), "") for n in (1, 2, 3, 11)}) == 4


def test_english_needs_no_catalog() -> None:
    assert type(load_catalogs()["en"]) is gettext.NullTranslations
