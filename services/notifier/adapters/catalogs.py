"""Languages of messages: gettext catalogs beside the code, English where there is none."""

from __future__ import annotations

from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from zoneinfo import ZoneInfo

LOCALES = Path(__file__).resolve().parents[1] / "locale"
DOMAIN = "notifier"
ENGLISH = "en"


def language_of(locale: str | None) -> str:
    """The language that a reader of this locale (RFC 5646, or with underscores) is written to in."""
    language = (locale or ENGLISH).replace("_", "-").split("-")[0].lower()
    return language if language != ENGLISH and _catalog(language).is_file() else ENGLISH


@cache
def translations_of(language: str) -> NullTranslations:
    """The catalog of a language that `language_of` gave."""
    if language == ENGLISH:
        return NullTranslations()
    with _catalog(language).open("rb") as file:
        return GNUTranslations(file)


@cache
def zone_of(name: str | None) -> ZoneInfo | None:
    """The time zone of that name; None for one that this machine doesn't know."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, OSError, ValueError):  # unknown, a folder of the database, or an unreadable file
        return None


def _catalog(language: str) -> Path:
    return LOCALES / language / "LC_MESSAGES" / f"{DOMAIN}.mo"
