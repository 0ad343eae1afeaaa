"""The translations: gettext catalogs, compiled with Babel and committed beside their sources."""

from __future__ import annotations

import gettext
from collections.abc import Mapping
from pathlib import Path

from services.intake.domain.languages import DEFAULT, LANGUAGES

LOCALE = Path(__file__).parents[1] / "locale"
DOMAIN = "intake"


def load_catalogs() -> Mapping[str, gettext.NullTranslations]:
    """A catalog a language; English is the language of the sources."""
    return {
        language: gettext.NullTranslations()
        if language == DEFAULT
        else gettext.translation(DOMAIN, LOCALE, languages=[language])
        for language in LANGUAGES
    }
