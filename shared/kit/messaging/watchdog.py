"""Notices a consumer that went deaf: assigned, connected, and fetching nothing though there is something.

aiokafka has been seen to do so after broker restarts and rebalances, without any error (aiokafka 1154, 703, 847). Only
a restart mends it, so the service says that it is not live.
"""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import RecordConsumer

log = get_logger(__name__)

CHECK_SECONDS = 5.0
DEAF_SECONDS = 60.0  # longer than any rebalance; a consumer that is at work or waits for its database is not deaf


class ConsumerWatchdog:
    """Compares end offsets with progress, a consumer at a time.

    Time is counted in looks: while this process was suspended or the broker away, nobody looked and nobody was deaf.
    """

    def __init__(
        self,
        consumer: RecordConsumer,
        *,
        check_seconds: float = CHECK_SECONDS,
        deaf_seconds: float = DEAF_SECONDS,
    ) -> None:
        self._consumer = consumer
        self._check_seconds = min(check_seconds, deaf_seconds / 4)
        self._deaf_seconds = deaf_seconds
        self._looks_behind = 0
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
            try:
                async with asyncio.timeout(max(self._check_seconds, 1.0)):
                    await self.check()
            except (KafkaError, OSError, TimeoutError):  # without a broker nobody is deaf
                self._looks_behind = 0

    async def check(self) -> None:
        """Looks once; `deaf` then answers from what was seen."""
        behind = any((await self._consumer.lag()).values())
        processed = self._consumer.processed
        stands_still = behind and not self._consumer.busy and processed == self._seen_at
        was_deaf = await self.deaf()
        self._looks_behind = self._looks_behind + 1 if stands_still else 0
        self._seen_at = processed
        if was_deaf is None and (reason := await self.deaf()):
            log.error("consumer.deaf", group=self._consumer.group, reason=reason)

    async def deaf(self) -> str | None:
        """Why the service is not live, for the health page."""
        if self._looks_behind * self._check_seconds < self._deaf_seconds:
            return None
        return f"consumer group {self._consumer.group} fetches nothing although there are records"
