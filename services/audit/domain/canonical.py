"""Canonical JSON (RFC 8785): one document, one sequence of bytes, so that its hash means something."""

from __future__ import annotations

import json
from typing import Any

import rfc8785

LARGEST_INTEGER = 2**53 - 1  # what every JSON reader holds exactly (RFC 7493, section 2.2)
LONGEST_ENTRY = 65_535  # bytes: an entry of a tile has a 16-bit length (C2SP tlog-tiles)


class NotRecordable(ValueError):
    """The value has no place in an entry: a float, an integer that some readers round, too many bytes."""


def canonicalise(value: Any) -> bytes:
    """The canonical bytes of any JSON value. Raises ValueError for what has none."""
    return _quick(value) if _is_plain(value) else rfc8785.dumps(value)


def encode_entry(value: dict[str, Any]) -> bytes:
    """The bytes of an entry. Raises NotRecordable."""
    if not _is_plain(value):
        raise NotRecordable("holds a float, a large integer, or a name outside ASCII")
    encoded = _quick(value)
    if len(encoded) > LONGEST_ENTRY:
        raise NotRecordable(f"longer than {LONGEST_ENTRY} bytes")
    return encoded


def _quick(value: Any) -> bytes:
    # A quarter of rfc8785's time, and the same bytes while names are ASCII (else RFC 8785 sorts by UTF-16 code units)
    # and there is no float; proved by a property test. A lone surrogate raises UnicodeEncodeError, a ValueError.
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    if isinstance(value, int):
        return -LARGEST_INTEGER <= value <= LARGEST_INTEGER
    if isinstance(value, dict):
        return all(isinstance(name, str) and name.isascii() and _is_plain(item) for name, item in value.items())
    if isinstance(value, list | tuple):
        return all(_is_plain(item) for item in value)
    return False
