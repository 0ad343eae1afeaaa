"""Where a page of a search ended. Signed, so that what comes back is what was given out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from shared.web.signing import Signer


class InvalidCursor(ValueError):
    """Not a cursor that was given out for this query."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The next index to look at, and the tree size that the search began with: later records stay out of its pages."""

    start: int
    size: int


class Cursors:
    """Writes and reads cursors. `keys` newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._signer = Signer(keys, "audit/cursor")

    def seal(self, cursor: Cursor, query: str) -> str:
        # The query by its hash: it may name people, and cursors end up in histories and logs of others.
        return self._signer.seal(json.dumps([cursor.start, cursor.size, _digest(query)]).encode())

    def open(self, text: str, query: str) -> Cursor:
        """Raises InvalidCursor."""
        payload = self._signer.open(text)
        if payload is None:
            raise InvalidCursor("The cursor was changed, or is none of ours.")
        start, size, digest = json.loads(payload)
        if digest != _digest(query):
            raise InvalidCursor("The cursor belongs to another query.")
        return Cursor(start, size)


def _digest(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:32]
