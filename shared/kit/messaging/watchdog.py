"""Notices a consumer that went deaf: assigned, connected, and fetching nothing though there is something.

aiokafka has been seen to do so after broker restarts and rebalances, without any error (aiokafka 1154, 703, 847). Only
a restart mends it, so the service says that it is not live.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from aiokafka.errors import KafkaError

from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import RecordConsumer

log = get_logger(__name__)

CHECK_SECONDS = 5.0
DEAF_SECONDS = 60.0  # longer than any rebalance; a consumer that is at work or waits for its database is not deaf


class ConsumerWatchdog:
    """Compares end offsets with progress, a consumer at a time."""

    def __init__(
        self,
        consumer: RecordConsumer,
        *,
        check_seconds: float = CHECK_SECONDS,
        deaf_seconds: float = DEAF_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._check_seconds = check_seconds
        self._deaf_seconds = deaf_seconds
        self._monotonic = monotonic
        self._behind_since: float | None = None
        self._seen_at = -1
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name=f"watchdog {self._consumer.group}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            with suppress(KafkaError, OSError, TimeoutError):  # without a broker nobody is deaf
                async with asyncio.timeout(self._check_seconds):  # `wait_for` may swallow a cancellation on 3.11
                    await self.check()

    async def check(self) -> None:
        """Looks once; `deaf` then answers from what was seen."""
        behind = any((await self._consumer.lag()).values())
        processed = self._consumer.processed
        if not behind or self._consumer.busy or processed != self._seen_at:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self._monotonic()
        self._seen_at = processed

    async def deaf(self) -> str | None:
        """Why the service is not live, for the health page."""
        if self._behind_since is None or self._monotonic() - self._behind_since < self._deaf_seconds:
            return None
        return f"consumer group {self._consumer.group} fetches nothing although there are records"
