"""Keeping times, addresses and references readable inside text that runs from right to left.

Without isolation the bidirectional algorithm (UAX #9) takes `2026-11-24 01:43:05 UTC` apart and shows its pieces in
another order. In HTML an element isolates; no direction mark is ever written, in HTML or text.
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

C = TypeVar("C", bound="DataclassInstance")

_SHORT = 28  # characters: a time, a reference, an address; broken over two lines they would be misread
_WHOLE = Markup('<bdi dir="ltr" style="white-space:nowrap">{}</bdi>')
_BREAKING = Markup('<bdi dir="ltr">{}</bdi>')

# Go where no element may stand: the message's header, and the document's title.
_PLAIN = frozenset({"subject", "title"})

_LEFT_TO_RIGHT = re.compile(
    r"https?://\S+"
    r"|\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: [A-Z]{2,5}\b| [+-]\d\d(?:\d\d)?)?"
    r"|RA-\w{4}-\w{4}-\w"
    r"|[^\s(;,]+@[\w.-]+"
    r"|\bAS\d+(?: [A-Za-z][\w.,'&+-]*)*"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?:/\d+)?"
    r"|[0-9a-fA-F]*:[0-9a-fA-F:.]*:[0-9a-fA-F:./]*"
    r"|[A-Za-z][A-Za-z0-9.,'&+-]*(?: [A-Za-z][A-Za-z0-9.'&+-]*)+(?: \([A-Za-z0-9-]+\))?"
)


def isolated(content: C) -> C:
    """A frozen dataclass of texts, lists and further dataclasses, each text as markup."""
    names = [field.name for field in fields(content) if field.name not in _PLAIN]
    return replace(content, **{name: _isolate(getattr(content, name)) for name in names})


def _isolate(value: Any) -> Any:
    if isinstance(value, str):
        return _markup(value)
    if isinstance(value, tuple | list):
        return type(value)(_isolate(item) for item in value)
    return isolated(value)


def _markup(text: str) -> Markup:
    parts, end = [], 0
    for found in _LEFT_TO_RIGHT.finditer(text):
        element = _WHOLE if len(found[0]) <= _SHORT else _BREAKING
        parts += [escape(text[end : found.start()]), element.format(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])
