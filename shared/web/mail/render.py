"""Rendering a mail's text and HTML from a pair of templates.

The HTML needs no inlining step: the macros in ``templates/mail/parts.html`` write their styles into the elements, so
that a mail costs one template run and looks right in readers that drop ``<style>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from gettext import NullTranslations
from pathlib import Path
from typing import Any

from jinja2 import Environment

from shared.web.templating import build_environment, translated
from shared.web.text import direction

# What macros and unused blocks leave behind.
_BLANK_LINES = re.compile(r"\n{3,}")


def mail_environment(template_dirs: Sequence[Path], **variables: object) -> Environment:
    """For a service's mails; `variables` are there in all of them.

    ``mail/base.html`` and ``.txt`` need ``organisation`` and ``support_contact``.
    """
    env = build_environment(template_dirs)
    env.globals.update(variables)
    return env


def render_mail(
    env: Environment,
    template_base: str,
    context: Mapping[str, Any],
    *,
    lang: str = "en",
    translations: NullTranslations | None = None,
) -> tuple[str, str]:
    """The text and the HTML of ``<template_base>.txt`` and ``.html``.

    Raises UndefinedError for a name that the context lacks. Characters that hide or reorder text are written out in
    both; a value of the text part can't start a line of its own when it goes through ``fact`` or ``one_line``.
    """
    variables = {"lang": lang, "dir": direction(lang)} | dict(context)
    with translated(translations):
        text = env.get_template(f"{template_base}.txt").render(variables)
        html = env.get_template(f"{template_base}.html").render(variables)
    return _BLANK_LINES.sub("\n\n", text).strip() + "\n", html
