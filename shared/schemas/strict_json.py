"""JSON as strangers send it, read so that every reader sees the same document (RFC 8259, RFC 7493).

Python's parser takes more than JSON: the last of two equal names, NaN, numbers past infinity, half a surrogate pair.
`load` lets those through and `check` finds them, so that in a batch the part that has them can be named.
"""

import json
import math
from typing import Any

MAX_DEPTH = 32
"""Levels of nesting; our deepest event has 8."""


class NotStrictJson(ValueError):
    """The bytes are no document that everybody reads alike. The text says why and quotes nothing of them."""


class _DoubledNames(dict[str, Any]):
    """An object in which a name occurred twice."""


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    return members if len(members) == len(pairs) else _DoubledNames(members)


_DECODER = json.JSONDecoder(object_pairs_hook=_read_object)


def load(raw: bytes) -> Any:
    """Parse bytes. Raises NotStrictJson for what is not UTF-8, not JSON, or nested too deeply to be parsed."""
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise NotStrictJson("not UTF-8") from None
    except RecursionError:
        raise NotStrictJson("nested too deeply") from None
    except ValueError:  # JSONDecodeError, or an integer of more than 4,300 digits
        raise NotStrictJson("not JSON") from None


def check(value: Any) -> None:
    """Raise NotStrictJson when this part of a loaded document holds what not everybody reads alike."""
    waiting: list[tuple[dict[str, Any] | list[Any], int]] = [([value], 0)]
    while waiting:
        container, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise NotStrictJson("nested too deeply")
        if isinstance(container, _DoubledNames):
            raise NotStrictJson("a name occurs twice")
        if isinstance(container, dict):
            for name in container:
                _check_text(name)
            members = iter(container.values())
        else:
            members = iter(container)
        for member in members:
            if isinstance(member, str):
                _check_text(member)
            elif isinstance(member, dict | list):
                waiting.append((member, depth + 1))
            elif isinstance(member, float) and not math.isfinite(member):
                raise NotStrictJson("not a finite number")


def _check_text(text: str) -> None:
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NotStrictJson("half a surrogate pair") from None
