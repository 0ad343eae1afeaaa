"""Making text from elsewhere safe to look at: invisible characters shown, times and directions in one form."""

from __future__ import annotations

import re
from datetime import UTC, datetime

# What can reorder, hide or fake text on a screen or in a mail: bidi overrides, isolates and marks (UAX #9), zero-width
# characters, C0 and C1 controls except tab and line feed, the two Unicode line separators, and the byte order mark.
# U+200C and U+200D stay: Persian and the scripts of India need them to be spelled right.
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
_LINE_BREAKS = re.compile(r"\s*[\r\n\t\v\f\x1c-\x1e\x85\u2028\u2029]+\s*")

# Languages written from right to left that the IANA subtag registry gives an Arabic, Hebrew, Syriac or Thaana script.
_RIGHT_TO_LEFT = frozenset({"ar", "arc", "ckb", "dv", "fa", "he", "ps", "sd", "syr", "ug", "ur", "yi"})


def visible(value: object) -> str:
    """The text with each invisible or direction-changing character written out, as in ``⟨U+202E⟩``."""
    text = str(value).replace("\r\n", "\n")
    return _INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)


def one_line(value: object) -> str:
    """As `visible`, on one line: a value can't start a line of its own and so can't pass for another fact."""
    text = utc(value) if isinstance(value, datetime) else str(value)
    return visible(_LINE_BREAKS.sub(" ", text.strip()))


def utc(value: datetime) -> str:
    """``2026-11-24 01:43:05 UTC``. Raises ValueError for a time without a zone: guessing one would be a lie."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone can't be shown")
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def iso(value: datetime) -> str:
    """RFC 3339 in UTC to the second, for the ``datetime`` attribute."""
    if value.tzinfo is None:
        raise ValueError("a time without a zone can't be shown")
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def direction(language: str) -> str:
    """``rtl`` or ``ltr`` for a BCP 47 language tag."""
    return "rtl" if language.replace("_", "-").split("-")[0].lower() in _RIGHT_TO_LEFT else "ltr"
