"""The `Limits` port on the `limits` library, in memory or in Valkey/Redis."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.storage import storage_from_string

from services.intake.adapters.limit_memory import ProcessMemory
from services.intake.domain.client_address import IpNetwork
from shared.kit.logging import get_logger
from shared.schemas.intake import SuppressionReason

log = get_logger(__name__)

Result = TypeVar("Result")

# A shared store that takes longer is as good as away. Long enough that 200 at once on a busy machine don't look like
# it: who counts alone admits more than was allowed.
_STORE_SECONDS = 2.0
_AWAY_SECONDS = 5.0  # and isn't asked again for so long
_SCHEMES = {"redis": "valkey", "rediss": "valkeys", "valkey": "valkey", "valkeys": "valkeys"}


def parse_limit(text: str) -> RateLimitItem | None:
    """A limit in the library's notation, as `10 per 10 minutes`; the empty text is none.

    Raises:
        ValueError: it is not in that notation.
    """
    return parse(text) if text.strip() else None


def shared_store(url: str) -> Storage:
    """The store that replicas share.

    Raises:
        ValueError: the URL is not of a Valkey or Redis server.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES or not urlsplit(url).hostname:
        raise ValueError("must be valkey://host:port, valkeys://, redis:// or rediss://")
    store = storage_from_string(f"async+{_SCHEMES[scheme]}://{rest}", wrap_exceptions=True)
    assert isinstance(store, Storage)
    return store


@dataclass(frozen=True, slots=True)
class LimitItems:
    """The limits that are on."""

    network: RateLimitItem | None = None
    address: RateLimitItem | None = None
    address_total: RateLimitItem | None = None
    total: RateLimitItem | None = None


class RateLimits:
    """Moving windows, so that a window's edge admits no double share. Without its shared store it counts alone."""

    def __init__(
        self, items: LimitItems, store: Storage | None = None, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._items = items
        self._clock = clock
        self._alone = MovingWindowRateLimiter(ProcessMemory(clock))
        self._shared = MovingWindowRateLimiter(store) if store is not None else None
        self._away_until = 0.0

    async def network(self, network: IpNetwork) -> int | None:
        return await self._wait(self._items.network, "network", str(network))

    async def total(self) -> int | None:
        return await self._wait(self._items.total, "total")

    async def address(self, email_hash: str, network: IpNetwork) -> SuppressionReason | None:
        # In this order: what one network is refused doesn't use up the address's total, so that a stranger on one
        # network can't silence the real person.
        if not await self._hit(self._items.address, "address", email_hash, str(network)):
            return SuppressionReason.ADDRESS_LIMIT
        if not await self._hit(self._items.address_total, "address-total", email_hash):
            return SuppressionReason.ADDRESS_TOTAL_LIMIT
        return None

    async def _hit(self, item: RateLimitItem | None, *key: str) -> bool:
        if item is None:
            return True
        if (admitted := await self._ask_shared(lambda limiter: limiter.hit(item, "intake", *key))) is None:
            return await self._alone.hit(item, "intake", *key)
        if admitted:
            await self._alone.hit(item, "intake", *key)  # so that counting alone goes on from here
        return admitted

    async def _wait(self, item: RateLimitItem | None, *key: str) -> int | None:
        if item is None or await self._hit(item, *key):
            return None
        window = await self._ask_shared(lambda limiter: limiter.get_window_stats(item, "intake", *key))
        if window is None:
            window = await self._alone.get_window_stats(item, "intake", *key)
        return min(max(1, math.ceil(window.reset_time - self._clock())), item.get_expiry())

    async def _ask_shared(self, question: Callable[[MovingWindowRateLimiter], Awaitable[Result]]) -> Result | None:
        """None: there is no shared store, or it is away."""
        if self._shared is None or self._clock() < self._away_until:
            return None
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                return await question(self._shared)
        except Exception as error:
            # Refusing everybody would let whoever stops the store stop the service; admitting everybody, flood it.
            self._away_until = self._clock() + _AWAY_SECONDS
            log.warning("limits.store_unavailable", error=type(error).__name__)
            return None
