"""What can't be seen is written out, and a value stays on its line."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.web.text import direction, iso, one_line, utc, visible

_BIDI = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]


@pytest.mark.parametrize(
    "code", [*_BIDI, 0, 7, 8, 0x0B, 0x0D, 0x1B, 0x7F, 0x80, 0x85, 0x9F, 0x2028, 0x2029, 0xFEFF, 0x200B, 0xD800]
)
def test_what_hides_or_reorders_is_written_out(code: int) -> None:
    assert visible(f"a{chr(code)}b") == f"a⟨U+{code:04X}⟩b"


@pytest.mark.parametrize("text", ["plain", "a\nb\tc", "Zoë", "مرحبا", "שלום", "می\u200cخواهم", "👩\u200d💻", "日本"])
def test_what_people_write_is_left_alone(text: str) -> None:
    assert visible(text) == text


@given(st.text())
def test_no_control_and_no_bidi_control_is_left(text: str) -> None:
    shown = visible(text)
    assert not {ord(c) for c in shown} & set(_BIDI)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert visible(shown) == shown


@given(st.text())
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


def test_a_name_cant_write_a_fact_of_its_own() -> None:
    assert one_line("Eve\r\nResolved account: Amelia") == "Eve Resolved account: Amelia"


def test_times_are_utc_whatever_their_zone() -> None:
    moment = datetime(2026, 11, 24, 1, 43, 5, 999_999, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=13)))
    assert utc(elsewhere) == utc(moment) == one_line(elsewhere) == "2026-11-24 01:43:05 UTC"
    assert iso(elsewhere) == "2026-11-24T01:43:05Z"


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "ltr"),
        ("de-AT", "ltr"),
        ("ar", "rtl"),
        ("AR-eg", "rtl"),
        ("he_IL", "rtl"),
        ("fa", "rtl"),
        ("art", "ltr"),
        ("", "ltr"),
    ],
)
def test_direction_follows_the_language(language: str, expected: str) -> None:
    assert direction(language) == expected
