"""Whether identity events are on their way that the projections don't hold yet."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from shared.kit.messaging.consumer import MAX_RECORDS, RecordConsumer
from shared.schemas.topics import Topic

IDENTITY_TOPICS = frozenset({Topic.IDENTITY_ACCOUNTS.value, Topic.IDENTITY_ACTIVITY.value})
BACKLOG = MAX_RECORDS
"""One more batch at most: what a busy platform has on its way at any moment must not hold every request up."""
_AT_MOST = 0.2  # seconds: a position that takes longer is one of a partition that is not being read yet
_STEP = 0.01  # seconds
_STEPS = 100  # a batch that takes longer than a second waits for something itself


class ConsumerFreshness:
    """Compares how far the identity topics reach with how far this process has read them.

    As of the last fetch: asking the broker would wait on the connection behind the fetch that is under way, up to
    `READMIT_KAFKA_FETCH_MAX_WAIT_MS`. It knows the partitions that this replica reads; with more replicas the others'
    may be behind unseen, which is what the wait of a request without a match is for.
    """

    def __init__(self) -> None:
        self.consumer: RecordConsumer | None = None

    async def __call__(self) -> bool:
        consumer = self.consumer.consumer if self.consumer else None
        if consumer is None:
            return True
        try:
            async with asyncio.timeout(_AT_MOST):
                return await _backlog(consumer, self.consumer) <= BACKLOG
        except (KafkaError, TimeoutError):
            return False

    async def until_settled(self) -> None:
        """Wait until what was read before has been committed: a batch counts as read while it is being processed."""
        consumer = self.consumer
        if consumer is None:
            return
        seen = consumer.processed
        for _ in range(_STEPS):
            if not consumer.busy or consumer.processed != seen:
                return
            await asyncio.sleep(_STEP)


async def _backlog(consumer: AIOKafkaConsumer, records: RecordConsumer | None) -> float:
    """Identity records that the broker has and nobody here has read; infinite while a partition was never fetched."""
    backlog = 0
    for partition in consumer.assignment():
        if partition.topic not in IDENTITY_TOPICS or not (records is None or records.brings_news(partition)):
            continue
        end = consumer.highwater(partition)
        if end is None:
            return float("inf")
        backlog += max(0, end - await consumer.position(partition))
    return backlog
