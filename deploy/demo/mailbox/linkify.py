"""Plain text as HTML: everything escaped, http addresses made links."""

from __future__ import annotations

import re

from markupsafe import Markup, escape

# Ends before punctuation that closes a sentence or a bracket rather than the address.
_ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]}]")


def linkify(text: str) -> Markup:
    parts: list[Markup] = []
    position = 0
    for match in _ADDRESS.finditer(text):
        address = match.group()
        parts.append(escape(text[position : match.start()]))
        parts.append(Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>').format(address))
        position = match.end()
    parts.append(escape(text[position:]))
    return Markup("").join(parts)
