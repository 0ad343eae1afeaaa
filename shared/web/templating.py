"""The Jinja2 environment that pages and mails share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from gettext import NullTranslations
from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from shared.web.text import direction, iso, one_line, utc, visible

TEMPLATES = Path(__file__).parent / "templates"

_ENGLISH = NullTranslations()
# Macros are imported without context and their modules are cached, so the language can't be a template variable.
_translations: ContextVar[NullTranslations] = ContextVar("translations", default=_ENGLISH)


@contextmanager
def translated(translations: NullTranslations | None) -> Iterator[None]:
    """Within it, ``_()`` and ``{% trans %}`` in templates speak the language of the given catalog (English: None)."""
    token = _translations.set(translations or _ENGLISH)
    try:
        yield
    finally:
        _translations.reset(token)


def _gettext(message: str) -> str:
    return _translations.get().gettext(message)


def _ngettext(singular: str, plural: str, n: int) -> str:
    return _translations.get().ngettext(singular, plural, n)


def _finalize(value: object) -> object:
    """Every ``{{ value }}`` passes here, so forgetting a filter can't let a direction override through.

    Markup too: joining, formatting and translating wrap what they were given in it.
    """
    if value is None:
        return ""
    if isinstance(value, Markup):
        return Markup(visible(value))  # noqa: S704 - it was markup before, and no character added is special in HTML
    if isinstance(value, datetime):
        return utc(value)
    return visible(value) if isinstance(value, str) else value


def build_environment(template_dirs: Sequence[Path]) -> Environment:
    """Autoescape for ``.html``, none for ``.txt``; undefined names are errors; the service's own templates win."""
    loader = ChoiceLoader([FileSystemLoader(directory) for directory in (*template_dirs, TEMPLATES)])
    env = Environment(
        loader=loader,
        autoescape=select_autoescape(enabled_extensions=("html",), default=False, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_finalize,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        auto_reload=False,
    )
    env.filters.update(visible=visible, one_line=one_line, utc=utc, iso=iso, direction=direction)
    env.install_gettext_callables(_gettext, _ngettext, newstyle=True)  # type: ignore[attr-defined]
    return env
