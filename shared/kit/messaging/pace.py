"""How fast something comes, to tell a busy moment from a quiet one."""

from __future__ import annotations

import math

BUSY = 15.0  # a second; below it everything is done at once, above it in batches


class Pace:
    """How many came within about the last second."""

    def __init__(self) -> None:
        self._level = 0.0
        self._at = 0.0

    def add(self, count: int, now: float) -> float:
        """Counts what came; returns the pace, a second. `now` is of a monotonic clock."""
        self._level = self._level * math.exp(self._at - now) + count
        self._at = now
        return self._level

    def is_busy(self, now: float) -> bool:
        return self.add(0, now) >= BUSY
