"""Hazards of DESIGN section 4, on a real broker and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faststream import AckPolicy
from faststream.kafka.subscriber.usecase import LogicSubscriber

from shared.kit.db.unit import Publication, UnitOfWork
from shared.kit.ledger import replay
from shared.kit.messaging.consumer import Record
from shared.kit.messaging.errors import PoisonMessage, RetryableError
from shared.schemas.identity import PasswordChanged
from shared.schemas.topics import dead_letter_topic
from tests.integration.kit.conftest import Toy, wait_for


async def send(toy: Toy, *values: bytes, headers: list[tuple[str, bytes]] | None = None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=toy.servers, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(toy.topic, value, key=b"k", headers=headers or [])
    finally:
        await producer.stop()


async def publish(toy: Toy, *events: PasswordChanged) -> None:
    async with toy.plumbing.database.begin() as unit:
        for event in events:
            unit.publish_raw(replace(Publication.of(event, "k"), topic=toy.topic))


async def committed(toy: Toy) -> list[str]:
    return [row.event_id for row in await toy.rows("SELECT event_id FROM seen")]


async def test_an_event_goes_from_the_transaction_to_the_handler_once(toy: Toy) -> None:
    event = toy.event()
    await publish(toy, event)
    await wait_for(lambda: toy.seen)
    await publish(toy, event)  # the ledger has it already
    await send(toy, event.to_bytes(), event.to_bytes())  # and the broker delivers it again
    later = toy.event()
    await send(toy, later.to_bytes())
    await wait_for(lambda: later.id in toy.seen)
    assert await committed(toy) == [event.id, later.id]
    await wait_for(lambda: _outbox_empty(toy))


async def test_nothing_is_published_by_a_transaction_that_rolls_back(toy: Toy) -> None:
    ghost, real = toy.event(), toy.event()
    try:
        async with toy.plumbing.database.begin() as unit:
            unit.publish_raw(Publication.of(ghost, "k"))
            await unit.flush()
            raise RuntimeError
    except RuntimeError:
        pass
    await publish(toy, real)
    await wait_for(lambda: real.id in toy.seen)
    assert ghost.id not in toy.seen


async def test_a_failing_handler_is_retried_until_it_succeeds(toy: Toy) -> None:
    """Hazard 1: neither lost by an early commit nor skipped after an error."""
    attempts = 0

    async def fail_twice(_: PasswordChanged, __: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise RetryableError

    toy.on_event = fail_twice
    event = toy.event()
    await publish(toy, event)
    await wait_for(lambda: committed_holds(toy, event.id))
    assert attempts == 3
    assert await committed(toy) == [event.id]


async def committed_holds(toy: Toy, event_id: str) -> bool:
    return event_id in await committed(toy)


async def test_a_poison_message_is_parked_byte_for_byte_and_its_neighbours_have_their_effect(toy: Toy) -> None:
    """Hazards 3 and 6: no hot loop, no blocked partition, and headers that are no text don't matter."""
    bad = b'{"specversion": "1.0", "type": "readmit.identity.password-changed.v1", "broken": \xff\x00'
    before, after = toy.event(), toy.event()
    await send(toy, before.to_bytes(), bad, after.to_bytes(), headers=[("weird", b"\xff\xfe")])
    await wait_for(lambda: {before.id, after.id} <= set(toy.seen))
    topic = dead_letter_topic(toy.topic, toy.group)
    letters = "SELECT topic, value, headers FROM ledger WHERE type = 'readmit.dead-letter.v1'"
    await wait_for(lambda: toy.rows(letters))  # what was seen is not committed yet
    rows = await toy.rows(letters)
    assert [(row.topic, bytes(row.value)) for row in rows] == [(topic, bad)]
    assert rows[0].headers["readmit-dead-letter-reason"].startswith("MalformedEvent")
    assert "weird" in rows[0].headers["readmit-dead-letter-headers"]


async def test_an_event_that_always_poisons_is_parked_alone(toy: Toy) -> None:
    poison = toy.event()

    async def refuse(event: PasswordChanged, _: UnitOfWork) -> None:
        if event.id == poison.id:
            raise PoisonMessage("cannot be")

    toy.on_event = refuse
    others = [toy.event() for _ in range(5)]
    await send(toy, *(event.to_bytes() for event in [*others[:2], poison, *others[2:]]))
    await wait_for(lambda: _count(toy, "SELECT 1 FROM ledger WHERE type = 'readmit.dead-letter.v1'", 1))
    await wait_for(lambda: _count(toy, "SELECT 1 FROM seen", 5))
    assert poison.id not in await committed(toy)


async def _count(toy: Toy, sql: str, count: int) -> bool:
    return len(await toy.rows(sql)) == count


async def _outbox_empty(toy: Toy) -> bool:
    return await toy.rows("SELECT 1 FROM outbox") == []


async def test_commits_cover_exactly_what_was_processed(toy: Toy) -> None:
    """Hazard 2: `ack()` would commit every partition's position; we commit the offsets of what is done."""
    events = [toy.event() for _ in range(20)]
    await publish(toy, *events)
    await wait_for(lambda: len(toy.seen) == 20)
    consumer = toy.plumbing.consumers[0].consumer
    assert consumer is not None
    partitions = list(consumer.assignment())

    async def settled() -> bool:
        marks = {partition: await consumer.committed(partition) or 0 for partition in partitions}
        return sorted(marks.values()) == [0, 0, 20]

    await wait_for(settled)
    assert sum((await toy.plumbing.consumers[0].lag()).values()) == 0


async def test_what_was_not_finished_is_delivered_again_after_a_stop(toy: Toy) -> None:
    async def away(_: PasswordChanged, __: UnitOfWork) -> None:
        raise RetryableError

    toy.on_event = away
    event = toy.event()
    await publish(toy, event)
    await wait_for(lambda: toy.seen)
    for item in toy.plumbing.consumers:
        item.stop()
    await toy.plumbing.link.stop()
    toy.on_event = None
    for item in toy.plumbing.consumers:
        item.stopping.clear()
    await toy.plumbing.link.start()
    await wait_for(lambda: committed_holds(toy, event.id))


async def test_replay_fills_a_broker_again_without_a_second_effect(toy: Toy) -> None:
    events = [toy.event() for _ in range(30)]
    await publish(toy, *events)
    await wait_for(lambda: len(toy.seen) == 30)
    assert await replay(toy.plumbing.settings.database_url, topics=[toy.topic]) == 30
    await wait_for(lambda: _outbox_empty(toy))
    probe = AIOKafkaConsumer(toy.topic, bootstrap_servers=toy.servers, auto_offset_reset="earliest")
    await probe.start()
    try:
        found = 0
        while found < 60:
            batch = await probe.getmany(timeout_ms=5000)
            assert batch, f"only {found} of 60 messages"
            found += sum(len(records) for records in batch.values())
    finally:
        await probe.stop()
    assert len(await committed(toy)) == 30


async def test_a_replay_since_now_has_nothing_to_say(toy: Toy) -> None:
    await publish(toy, toy.event())
    assert await replay(toy.plumbing.settings.database_url, since=datetime.now(UTC)) == 0


async def test_a_lower_outbox_id_that_commits_late_is_still_relayed(toy: Toy) -> None:
    """Hazard 12: a relay that reads `id > last` skips it."""
    late, early = toy.event(), toy.event()
    async with toy.plumbing.engine.connect() as slow:
        transaction = await slow.begin()
        unit = UnitOfWork(slow, toy.plumbing.outbox)
        item = Publication.of(late, "k")
        unit.publish_raw(
            Publication(item.source, item.event_id, item.type, None, toy.topic, "k", item.value, item.time)
        )
        await unit.flush()
        await publish(toy, early)
        await wait_for(lambda: early.id in toy.seen)
        await transaction.commit()
    await wait_for(lambda: late.id in toy.seen)


async def test_every_subscriber_has_the_policy_that_loses_nothing(toy: Toy) -> None:
    """Hazards 3, 5 and 8, by reading the subscribers back."""
    subscribers = list(toy.plumbing.kafka.subscribers)
    assert subscribers
    for subscriber in subscribers:
        assert subscriber.ack_policy is AckPolicy.MANUAL
        assert isinstance(subscriber, LogicSubscriber)
        assert subscriber._connection_args["auto_offset_reset"] == "earliest"
        assert subscriber._no_reply is True


async def test_a_reply_to_header_publishes_nothing(toy: Toy, create_topics: object) -> None:
    """Hazard 5: a stranger's `reply_to` must not make the service publish."""
    event = toy.event()
    await send(toy, event.to_bytes(), headers=[("reply_to", toy.topic.encode())])
    await wait_for(lambda: event.id in toy.seen)
    marker = toy.event()
    await send(toy, marker.to_bytes())
    await wait_for(lambda: marker.id in toy.seen)
    assert len(await toy.rows("SELECT 1 FROM ledger")) == 0


async def test_a_bug_is_tried_three_times_then_parked(toy: Toy) -> None:
    async def fail(_: PasswordChanged, __: UnitOfWork) -> None:
        raise KeyError

    toy.on_event = fail
    event = toy.event()
    await send(toy, event.to_bytes())
    await wait_for(lambda: _count(toy, "SELECT 1 FROM ledger WHERE type = 'readmit.dead-letter.v1'", 1))
    assert toy.seen == [event.id] * 3
    assert await committed(toy) == []


async def test_a_processor_that_breaks_its_word_loses_nothing(toy: Toy) -> None:
    """The position has moved past the record by then; without going back the next commit would lose it."""
    consumer = toy.plumbing.consumers[0]
    process, failures = consumer.process, 0

    async def fail_once(records: Sequence[Record]) -> None:
        nonlocal failures
        if failures == 0:
            failures += 1
            raise ValueError
        await process(records)

    consumer.process = fail_once
    event = toy.event()
    await send(toy, event.to_bytes())
    await wait_for(lambda: event.id in toy.seen)
    assert failures == 1
