"""A body of CloudEvents cut into single events, each measured as it was sent."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from shared.kit.http.problems import Problem

MAX_EVENTS = 1000
MAX_EVENT = 32 * 1024  # bytes
MAX_BODY = 4 * 1024 * 1024  # bytes

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")


def split_batch(raw: bytes, *, is_batch: bool) -> list[bytes]:
    """The bytes of each event.

    Raises:
        Problem: 400 for what is not JSON, 422 for a batch that is no array, 413 for too many or too large events.
    """
    try:
        text = raw.decode("utf-8")
        items = _elements(text) if is_batch else [_whole(text)]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError):
        raise Problem(400, "The body is not valid JSON in UTF-8.") from None
    if len(items) > MAX_EVENTS:
        raise Problem(413, f"A batch may hold at most {MAX_EVENTS} events.")
    events = [item.encode() for item in items]
    for index, event in enumerate(events):
        if len(event) > MAX_EVENT:
            raise Problem(413, f"Event {index} is larger than {MAX_EVENT} bytes.")
    return events


def _whole(text: str) -> str:
    start = _skip(text, 0)
    _, end = _DECODER.raw_decode(text, start)
    if _skip(text, end) != len(text):
        _broken()
    return text[start:end]


def _elements(text: str) -> list[str]:
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        _whole(text)
        errors = [{"index": 0, "reason": "not an array"}]
        raise Problem(422, "A batch is a JSON array of events.", slug="bad-events", errors=errors)
    position = _skip(text, position + 1)
    items: list[str] = []
    closed = text[position : position + 1] == "]"
    while not closed:
        _, end = _DECODER.raw_decode(text, position)
        items.append(text[position:end])
        position = _skip(text, end)
        separator = text[position : position + 1]
        closed = separator == "]"
        if not closed:
            if separator != ",":
                _broken()
            position = _skip(text, position + 1)
    if _skip(text, position + 1) != len(text):
        _broken()
    return items


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _broken() -> NoReturn:
    raise ValueError("not JSON")
