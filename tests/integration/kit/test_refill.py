"""A replay of the ledger: newest first, marked, behind nothing, and once however often it is asked for."""

from __future__ import annotations

import json
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy import text

from shared.kit.ledger import replay
from shared.kit.messaging.consumer import MAX_RECORDS, REFILLED_HEADER
from tests.integration.kit.conftest import Toy, wait_for


async def published(toy: Toy, count: int, monkeypatch: Any) -> list[str]:
    """Events in the ledger and consumed; their ids, oldest first."""
    monkeypatch.setattr("shared.kit.db.unit.topic_of", lambda _: toy.topic)
    events = [toy.event() for _ in range(count)]
    async with toy.plumbing.database.begin() as unit:
        for event in events:
            unit.publish(event, key="one")  # one partition: the order is that of offsets
    await wait_for(lambda: len(toy.seen) == count)
    return [event.id for event in events]


async def in_topic(toy: Toy, count: int) -> list[tuple[str, bool]]:
    """(id, whether it is marked as refilled) in the order of offsets."""
    consumer = AIOKafkaConsumer(toy.topic, bootstrap_servers=toy.servers, auto_offset_reset="earliest")
    await consumer.start()
    found: list[tuple[str, bool]] = []
    try:
        while len(found) < count:
            record = await consumer.getone()
            found.append((json.loads(record.value)["id"], REFILLED_HEADER in dict(record.headers)))
        return found
    finally:
        await consumer.stop()


async def test_a_refill_is_marked_and_comes_newest_first(toy: Toy, monkeypatch: Any) -> None:
    ids = await published(toy, 20, monkeypatch)
    url = toy.plumbing.settings.database_url
    assert await replay(url) == 20
    assert await in_topic(toy, 40) == [(id_, False) for id_ in ids] + [(id_, True) for id_ in reversed(ids)]
    assert toy.seen == ids


async def test_nothing_new_waits_behind_a_refill_and_a_second_one_takes_the_first_ones_place(
    toy: Toy, monkeypatch: Any
) -> None:
    await published(toy, 3, monkeypatch)
    database = toy.plumbing.database
    await toy.plumbing.outbox.stop()  # what is queued stays
    for _ in range(3):
        await replay(toy.plumbing.settings.database_url)
    assert [tuple(row) for row in await toy.rows("SELECT queue, count(*) FROM outbox GROUP BY 1")] == [("refill", 1)]
    async with database.begin() as unit:
        await unit.connection.execute(text("UPDATE outbox SET queue = 'refill'"))
        unit.publish(toy.event(), key="one")
    rows = await toy.rows("SELECT queue FROM outbox ORDER BY id")
    assert [row.queue for row in rows] == ["refill", "relay"]


async def test_what_comes_to_one_partition_does_not_wait_behind_the_backlog_of_another(toy: Toy) -> None:
    """Left to itself the client hands over a partition's whole fetch, a megabyte, before it looks at the next."""
    batches: list[list[str]] = []
    group = toy.plumbing.consumers[0]
    inner = group.process

    async def process(records: Any) -> None:
        batches.append([record.key.decode() for record in records])
        await inner(records)

    group.process = process
    producer = AIOKafkaProducer(bootstrap_servers=toy.servers, linger_ms=50, max_batch_size=1_000_000)
    await producer.start()
    try:
        backlog = [
            await producer.send(toy.topic, toy.event().to_bytes(), key=b"backlog", partition=0) for _ in range(2000)
        ]
        waiting = await producer.send(toy.topic, toy.event().to_bytes(), key=b"new", partition=1)
        for sent in [*backlog, waiting]:
            await sent
    finally:
        await producer.stop()
    await wait_for(lambda: len(toy.seen) == 2001, 60)
    sizes = [len(batch) for batch in batches]
    first = next(index for index, batch in enumerate(batches) if "new" in batch)
    assert sum(sizes[: first + 1]) <= 3 * MAX_RECORDS, sizes
    assert max(sizes) <= MAX_RECORDS
