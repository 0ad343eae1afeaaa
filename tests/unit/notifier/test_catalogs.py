"""Every text that a message can hold is in every catalog, and the compiled catalogs are those that are committed."""

from __future__ import annotations

import io
import re
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[3]
LOCALES = ROOT / "services/notifier/locale"
KEYWORDS = {"_": None, "_n": (1, 2), "plural": (1, 2)}


def said() -> set[str]:
    """The texts in the code that makes messages, and in the frame around them."""
    methods = [("services/notifier/domain/*.py", "python"), ("shared/web/templates/mail/base.*", "jinja2")]
    found = extract_from_dir(ROOT, methods, keywords=KEYWORDS, directory_filter=_worth_a_look)
    return {message[0] if isinstance(message, tuple) else message for _, _, message, _, _ in found}


def _worth_a_look(directory: object) -> bool:
    return Path(str(directory)).name in {"services", "notifier", "domain", "shared", "web", "templates", "mail"}


def catalog(language: str) -> Catalog:
    with (LOCALES / language / "LC_MESSAGES/notifier.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", ["de", "ar"])
def test_catalogs_are_complete_and_name_the_same_values(language: str) -> None:
    entries = [entry for entry in catalog(language) if entry.id]
    ids = {entry.id[0] if isinstance(entry.id, tuple) else entry.id for entry in entries}
    assert ids == said()
    for entry in entries:
        translations = entry.string if isinstance(entry.string, tuple) else (entry.string,)
        singular = entry.id[0] if isinstance(entry.id, tuple) else str(entry.id)
        for translation in translations:
            assert translation
            assert _values(str(translation)) == _values(singular)


@pytest.mark.parametrize("language", ["de", "ar"])
def test_compiled_catalogs_are_up_to_date(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalog(language))
    compiled.seek(0)
    with (LOCALES / language / "LC_MESSAGES/notifier.mo").open("rb") as file:
        assert GNUTranslations(file)._catalog == GNUTranslations(compiled)._catalog  # type: ignore[attr-defined]


@pytest.mark.parametrize(("count", "form"), [(1, "طلب"), (2, "طلبان"), (5, "طلبات"), (11, "طلبًا"), (100, "طلب")])
def test_arabic_counts(count: int, form: str) -> None:
    with (LOCALES / "ar/LC_MESSAGES/notifier.mo").open("rb") as file:
        translated = GNUTranslations(file).ngettext("%(count)d request", "%(count)d requests", count)
    assert translated % {"count": count} == f"{count} {form}"


def _values(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[ds]", text))
