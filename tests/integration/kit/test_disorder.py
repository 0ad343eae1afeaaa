"""A service whose messages all come twice and out of order: effects once, and no offset past what had its effect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.consumer import Record
from shared.schemas.identity import PasswordChanged
from tests.conftest import CreateTopics
from tests.engines import PostgresEngine
from tests.integration.kit.conftest import Toy, running_toy, toy_settings, wait_for

WINDOW, EVENTS = 8, 60


async def in_topic(toy: Toy) -> list[str]:
    """The ids of the toy's topic, in the order of offsets."""
    consumer = AIOKafkaConsumer(toy.topic, bootstrap_servers=toy.servers, auto_offset_reset="earliest")
    await consumer.start()
    try:
        found: list[str] = []
        while batch := await consumer.getmany(timeout_ms=1500):
            for partition in sorted(batch):
                found += [record.value.split(b'"id":"')[1].split(b'"')[0].decode() for record in batch[partition]]
        return found
    finally:
        await consumer.stop()


async def test_effects_once_and_offsets_only_past_what_had_its_effect(
    postgres_engine: PostgresEngine, kafka_servers: list[str], create_topics: CreateTopics, monkeypatch: Any
) -> None:
    (topic,) = await create_topics("toy")
    settings = toy_settings(await postgres_engine.create("toy"), kafka_servers).model_copy(
        update={"disorder_window": WINDOW, "environment": "test"}
    )
    monkeypatch.setattr("shared.kit.db.unit.topic_of", lambda _: topic)
    async with running_toy(settings, topic) as toy:
        events = [toy.event() for _ in range(EVENTS)]
        stopped_at = events[EVENTS // 2].id
        stops = asyncio.Event()
        processed: set[tuple[str, int, int]] = set()
        consumer = toy.plumbing.consumers[0]
        inner = consumer.process

        async def process(records: Sequence[Record]) -> None:
            await inner(records)
            processed.update((record.topic, record.partition, record.offset) for record in records)

        async def fail_for_a_while(event: PasswordChanged, _: UnitOfWork) -> None:
            if event.id == stopped_at and not stops.is_set():
                raise ConnectionError("the database is away")

        consumer.process = process
        toy.on_event = fail_for_a_while
        for event in events:  # each a transaction and an outbox row of its own
            async with toy.plumbing.database.begin() as unit:
                unit.publish(event, key=event.id)

        async def committed_is_processed() -> bool:
            assert consumer.consumer is not None
            for number in range(3):
                offset = await consumer.consumer.committed(TopicPartition(topic, number)) or 0
                assert {(topic, number, before) for before in range(offset)} <= processed, "committed past an effect"
            return True

        for _ in range(20):
            await committed_is_processed()
            await asyncio.sleep(0.02)
        stops.set()
        await wait_for(lambda: len(processed) >= 2 * EVENTS, 30)
        await committed_is_processed()
        rows = await toy.rows("SELECT event_id, count(*) AS times FROM seen GROUP BY event_id")
        assert {row.event_id: row.times for row in rows} == {event.id: 1 for event in events}
        found = await in_topic(toy)
        assert sorted(found) == sorted([event.id for event in events] * 2)
        assert found != sorted(found)  # ids are of the time at which they were made
