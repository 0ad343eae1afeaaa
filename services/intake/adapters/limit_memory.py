"""Rate limits in this process's memory, for the `limits` library.

The library's own memory storage starts a sweep over all keys at every hit, with a thread switch a key: with ten
thousand addresses in its memory that is all a core does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from limits.aio.storage import MovingWindowSupport, Storage

_SWEEP_SECONDS = 30.0


class ProcessMemory(Storage, MovingWindowSupport):
    """A moving window a key: the moments of its hits. Nothing here awaits, so each hit is exact under concurrency."""

    STORAGE_SCHEME = ["async+readmit-memory"]  # noqa: RUF012 (the base class declares it so)

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._hits: dict[str, tuple[float, deque[float]]] = {}
        self._swept_at = clock()

    async def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        now = self._clock()
        self._sweep(now)
        _, hits = self._hits.setdefault(key, (float(expiry), deque()))
        while hits and hits[0] <= now - expiry:
            hits.popleft()
        if len(hits) + amount > limit:
            return False
        hits.extend([now] * amount)
        return True

    async def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        now = self._clock()
        _, hits = self._hits.get(key, (0.0, deque()))
        current = [moment for moment in hits if moment > now - expiry]
        return (current[0], len(current)) if current else (now, 0)

    def __len__(self) -> int:
        return len(self._hits)

    def _sweep(self, now: float) -> None:
        """Forgets keys whose window is over: once in a while, so that it costs a hit next to nothing."""
        if now - self._swept_at < _SWEEP_SECONDS:
            return
        self._swept_at = now
        self._hits = {
            key: (expiry, hits) for key, (expiry, hits) in self._hits.items() if hits and hits[-1] > now - expiry
        }

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def check(self) -> bool:
        return True

    async def reset(self) -> int | None:
        count = len(self._hits)
        self._hits.clear()
        return count

    async def clear(self, key: str) -> None:
        self._hits.pop(key, None)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("only moving windows are kept")

    async def get(self, key: str) -> int:
        raise NotImplementedError("only moving windows are kept")

    async def get_expiry(self, key: str) -> float:
        raise NotImplementedError("only moving windows are kept")
