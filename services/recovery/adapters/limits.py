"""How many attempts a network has, shared by all replicas."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from services.recovery.ports import Window
from shared.kit.http.problems import Problem
from shared.kit.logging import get_logger

log = get_logger(__name__)


def window_of(limit: str) -> Window:
    """A limit in the notation of the `limits` library; the empty text is none."""
    if not limit:
        return Window(None, timedelta(days=1))
    item = parse(limit)
    return Window(item.amount, timedelta(seconds=item.get_expiry()))


class NetworkLimit:
    """Counts before anything else is done with an attempt. Without its shared store a replica counts alone."""

    def __init__(self, limit: str, url: str | None) -> None:
        self._item: RateLimitItem | None = parse(limit) if limit else None
        self._alone = MovingWindowRateLimiter(_store("async+memory://"))
        self._shared = MovingWindowRateLimiter(_store(shared_url(url))) if url else None

    async def __call__(self, network: str) -> None:
        """Raises Problem: 429 beyond the limit."""
        if self._item is None:
            return
        if self._shared is not None:
            try:
                await self._count(self._shared, self._item, network)
            except StorageError as error:
                log.warning("limits.store_unavailable", error=type(error.storage_error).__name__)
            else:
                return
        await self._count(self._alone, self._item, network)

    async def _count(self, limiter: MovingWindowRateLimiter, item: RateLimitItem, network: str) -> None:
        if await limiter.hit(item, "recovery", network):
            return
        stats = await limiter.get_window_stats(item, "recovery", network)
        seconds = max(1, math.ceil(stats.reset_time - time.time()))
        raise Problem(
            429, "Too many attempts from your network.", slug="too-many-attempts", headers={"Retry-After": str(seconds)}
        )


_SCHEMES = {"redis": "valkey", "rediss": "valkeys", "valkey": "valkey", "valkeys": "valkeys"}


def shared_url(url: str) -> str:
    """The `limits` library's form of a Valkey or Redis address. Raises ValueError."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise ValueError("must be valkey://host:port, valkeys://, redis:// or rediss://")
    return f"async+{_SCHEMES[scheme]}://{rest}"


def _store(url: str) -> Storage:
    store = storage_from_string(url, wrap_exceptions=True)
    assert isinstance(store, Storage)
    return store
