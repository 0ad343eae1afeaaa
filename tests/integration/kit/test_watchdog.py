"""Hazard 10: a consumer that went deaf makes the service not live."""

from __future__ import annotations

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from shared.kit.messaging.watchdog import ConsumerWatchdog
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_messaging import send


async def test_a_deaf_consumer_is_noticed_and_a_working_one_is_not(toy: Toy) -> None:
    record_consumer = toy.plumbing.consumers[0]
    consumer = record_consumer.consumer
    assert consumer is not None
    watchdog = ConsumerWatchdog(record_consumer, check_seconds=5, deaf_seconds=60)
    await send(toy, toy.event().to_bytes())
    await wait_for(lambda: toy.seen)
    await watchdog.check()
    assert await watchdog.deaf() is None

    consumer.pause(*consumer.assignment())  # deaf: assigned, connected, fetching nothing
    await wait_for(lambda: not record_consumer.busy)
    for _ in range(3):  # what was fetched already may still be handed out
        await send(toy, toy.event().to_bytes())
    looks = 0
    while await watchdog.deaf() is None:
        await watchdog.check()
        looks += 1
    assert looks in {12, 13}  # 60 s; at the first it may have moved since the look before
    assert "fetches nothing" in str(await watchdog.deaf())

    consumer.resume(*consumer.assignment())
    await wait_for(lambda: len(toy.seen) == 4)
    await watchdog.check()
    assert await watchdog.deaf() is None


async def test_time_without_a_broker_counts_for_nobody(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    record_consumer = toy.plumbing.consumers[0]
    partition, lag = TopicPartition(toy.topic, 0), 1
    looks = 0

    async def behind() -> dict[TopicPartition, int]:
        nonlocal looks
        looks += 1
        if looks % 3 == 0:
            raise KafkaConnectionError
        return {partition: lag}

    monkeypatch.setattr(record_consumer, "lag", behind)
    watchdog = ConsumerWatchdog(record_consumer, deaf_seconds=0.12)
    await watchdog.start()
    try:
        await wait_for(lambda: looks > 12)
        assert await watchdog.deaf() is None
    finally:
        await watchdog.stop()
