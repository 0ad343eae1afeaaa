"""How far the consumer is with the identity platform's events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from shared.kit.messaging.consumer import RecordConsumer

_SECONDS = 2.0
_SECONDS_BETWEEN_LOOKS = 1.0
# One more batch at most: what a busy platform has on its way at any moment.
_BACKLOG = 500
# The broker answers behind the fetch that is under way, 20 to 500 ms. After a start a whole batch of requests wants to
# know the same, one after another in one transaction; the answer is good for as long as they are postponed anyway.
_ANSWER_HOLDS = 0.3  # seconds


class ConsumerProgress:
    """`ports.Progress`, of the partitions that this replica has."""

    def __init__(self, identity_topics: Iterable[str]) -> None:
        self._topics = frozenset(identity_topics)
        self.consumer: RecordConsumer | None = None
        self._caught_up: frozenset[TopicPartition] = frozenset()
        self._watching: asyncio.Task[None] | None = None
        self._answered_at = float("-inf")
        self._answer = False

    async def start(self) -> None:
        """Finds out in the background when the backlog is worked off, so that no request waits for the answer."""
        self._watching = asyncio.create_task(self._watch(), name="notifier-progress")

    async def stop(self) -> None:
        """Ends the watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
            with contextlib.suppress(KafkaError):
                await self.catching_up()

    async def lag(self) -> int | None:
        """Asks the broker."""
        if self.consumer is None:
            return None
        try:
            lags = await asyncio.wait_for(self.consumer.lag(), _SECONDS)
        except (KafkaError, TimeoutError):
            return None
        identity = {part: lag for part, lag in lags.items() if part.topic in self._topics}
        return sum(lag for part, lag in identity.items() if self._brings_news(part))

    async def catching_up(self) -> bool:
        """Until the end was reached once after partitions were assigned, any lag counts; later only a large one."""
        consumer = self.consumer.consumer if self.consumer else None
        if consumer is None:
            return False
        assigned = frozenset(part for part in consumer.assignment() if part.topic in self._topics)
        if assigned <= self._caught_up:
            # As of the last fetch: no round trip.
            ends = {partition: consumer.highwater(partition) for partition in assigned}
            news = {partition: end for partition, end in ends.items() if end and self._brings_news(partition)}
            behind = [end - await consumer.position(partition) for partition, end in news.items()]
            return bool(sum(behind) > _BACKLOG)
        clock = asyncio.get_running_loop().time
        if clock() - self._answered_at > _ANSWER_HOLDS:
            lag = await self.lag()
            if lag == 0:
                self._caught_up = assigned
            self._answer, self._answered_at = bool(lag), clock()
        return self._answer

    def _brings_news(self, partition: TopicPartition) -> bool:
        return self.consumer is None or self.consumer.brings_news(partition)
