"""Which of our languages to answer in (RFC 9110, section 12.5.4)."""

from __future__ import annotations

import re

DEFAULT = "en"
LANGUAGES = ("en", "de", "ar")
NATIVE_NAMES = {"en": "English", "de": "Deutsch", "ar": "العربية"}

_RANGE = re.compile(r"([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*|\*)(?:\s*;\s*q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?")
_MAX_RANGES = 32


def negotiate(header: str) -> str:
    """The language that an `Accept-Language` header prefers; ours for none, for unknown ones and for nonsense."""
    best, best_quality = DEFAULT, 0.0
    refused: set[str] = set()
    for text in header.split(",")[:_MAX_RANGES]:
        match = _RANGE.fullmatch(text.strip())
        if match is None:
            continue
        quality = float(match[2] or 1)
        language = DEFAULT if match[1] == "*" else match[1].split("-")[0].lower()
        if quality == 0:
            refused.add(language)
        elif quality > best_quality and language in LANGUAGES and language not in refused:
            best, best_quality = language, quality
    return best
