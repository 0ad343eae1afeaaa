"""JSON as strangers send it, read so that every reader sees the same document (RFC 8259, RFC 7493).

Python's parser takes more than JSON: the last of two equal names, NaN, half a surrogate pair. Those are told apart here,
at no cost for documents that hold nothing suspicious.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
"""Levels of nesting; our deepest event has 8."""

_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")


class NotStrictJson(ValueError):
    """The bytes are no document that everybody reads alike. The text says why and quotes nothing of them."""


class _DoubledNames(dict[str, Any]):
    """An object in which a name occurred twice."""


@dataclass(frozen=True)
class Document:
    """A parsed document. What is wrong with a part of it is found by `check`, so that a batch can name the part."""

    value: Any
    suspicious: bool

    def check(self, part: Any) -> None:
        """Raise NotStrictJson when this part holds what not everybody reads alike."""
        if self.suspicious:
            _check(part)


def load(raw: bytes) -> Document:
    """Parse bytes. Raises NotStrictJson for what is not UTF-8, not JSON, or nested too deeply to be parsed."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise NotStrictJson("not UTF-8") from None
    found: list[object] = []

    def read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        found.append("doubled name")
        return _DoubledNames(members)

    def read_constant(name: str) -> float:
        found.append(name)
        return float(name)

    try:
        value = json.loads(text, object_pairs_hook=read_object, parse_constant=read_constant)
    except RecursionError:
        raise NotStrictJson("nested too deeply") from None
    except ValueError:  # JSONDecodeError, or an integer of more than 4,300 digits
        raise NotStrictJson("not JSON") from None
    deep = text.count("[") + text.count("{") > MAX_DEPTH
    return Document(value, suspicious=deep or bool(found) or _SURROGATE_ESCAPE.search(text) is not None)


def _check(part: Any) -> None:
    waiting = [(part, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            if not _is_unicode(value):
                raise NotStrictJson("half a surrogate pair")
        elif isinstance(value, float) and value != value:
            raise NotStrictJson("not a number")
        elif isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise NotStrictJson("not a finite number")
        elif isinstance(value, dict | list):
            if depth > MAX_DEPTH:
                raise NotStrictJson("nested too deeply")
            if isinstance(value, _DoubledNames):
                raise NotStrictJson("a name occurs twice")
            if isinstance(value, dict):
                waiting.extend((name, depth) for name in value)
                waiting.extend((member, depth + 1) for member in value.values())
            else:
                waiting.extend((item, depth + 1) for item in value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
