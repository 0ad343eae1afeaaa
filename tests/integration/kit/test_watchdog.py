"""Hazard 10: a consumer that went deaf makes the service not live."""

from __future__ import annotations

from shared.kit.messaging.watchdog import ConsumerWatchdog
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_messaging import send


async def test_a_deaf_consumer_is_noticed_and_a_working_one_is_not(toy: Toy) -> None:
    record_consumer = toy.plumbing.consumers[0]
    consumer = record_consumer.consumer
    assert consumer is not None
    now = 0.0
    watchdog = ConsumerWatchdog(record_consumer, deaf_seconds=60, monotonic=lambda: now)
    await send(toy, toy.event().to_bytes())
    await wait_for(lambda: toy.seen)
    await watchdog.check()
    assert await watchdog.deaf() is None

    consumer.pause(*consumer.assignment())  # deaf: assigned, connected, fetching nothing
    await wait_for(lambda: not record_consumer.busy)
    for _ in range(3):  # what was fetched already may still be handed out
        await send(toy, toy.event().to_bytes())
    await watchdog.check()
    await watchdog.check()
    now = 59.0
    await watchdog.check()
    assert await watchdog.deaf() is None
    now = 61.0
    await watchdog.check()
    assert "fetches nothing" in str(await watchdog.deaf())

    consumer.resume(*consumer.assignment())
    await wait_for(lambda: len(toy.seen) == 4)
    await watchdog.check()
    assert await watchdog.deaf() is None
