"""Whether identity events are on their way that the projections don't hold yet."""

from __future__ import annotations

import asyncio

from aiokafka.errors import KafkaError

from shared.kit.messaging.consumer import RecordConsumer
from shared.schemas.topics import Topic

IDENTITY_TOPICS = frozenset({Topic.IDENTITY_ACCOUNTS.value, Topic.IDENTITY_ACTIVITY.value})
_AT_MOST = 0.2  # seconds: a broker that doesn't answer has nothing to bring either


class ConsumerFreshness:
    """Compares the broker's end of the identity topics with how far this process has read them.

    It knows the partitions that this replica reads; with more replicas the others' may be behind unseen, which is what
    the wait of a request without a match is for.
    """

    def __init__(self) -> None:
        self.consumer: RecordConsumer | None = None

    async def __call__(self) -> bool:
        if self.consumer is None:
            return True
        try:
            lag = await asyncio.wait_for(self.consumer.lag(), _AT_MOST)
        except (KafkaError, TimeoutError, AssertionError):
            return True
        return not any(behind for partition, behind in lag.items() if partition.topic in IDENTITY_TOPICS)
