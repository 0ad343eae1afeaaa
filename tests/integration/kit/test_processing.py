"""What becomes of a batch when one of its records can't be processed, on a real broker and database."""

from __future__ import annotations

import asyncio

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.errors import AlreadyDone, PoisonMessage, RetryableError
from shared.schemas.identity import PasswordChanged
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_messaging import committed, publish, send

PARKED = "SELECT headers FROM ledger WHERE type = 'readmit.dead-letter.v1'"


async def test_what_is_already_done_does_not_take_its_neighbours_along(toy: Toy) -> None:
    """The transaction of a batch rolls back with it; the others must not count as done."""
    events = [toy.event() for _ in range(6)]

    async def done_before(event: PasswordChanged, _: UnitOfWork) -> None:
        if event.id == events[3].id:
            raise AlreadyDone

    toy.on_event = done_before
    await publish(toy, *events)
    others = [event.id for event in events if event is not events[3]]

    async def all_there() -> bool:
        return sorted(await committed(toy)) == sorted(others)

    await wait_for(all_there)
    assert await toy.rows(PARKED) == []


async def test_nothing_is_committed_past_a_batch_that_was_given_up(toy: Toy) -> None:
    """Between the signal to stop and the end of the consumer more records come; they must wait for the next start."""

    async def away(_: PasswordChanged, __: UnitOfWork) -> None:
        raise RetryableError

    toy.on_event = away
    first = toy.event()
    await send(toy, first.to_bytes())
    await wait_for(lambda: toy.seen)
    (consumer,) = toy.plumbing.consumers
    consumer.stop()
    await wait_for(lambda: not consumer.busy)
    toy.on_event = None
    second = toy.event()
    await send(toy, second.to_bytes())
    await asyncio.sleep(0.5)  # the consumer is still there, and would have taken it
    assert second.id not in toy.seen
    await toy.plumbing.link.stop()
    consumer.stopping.clear()
    await toy.plumbing.link.start()

    async def both() -> bool:
        return sorted(await committed(toy)) == sorted([first.id, second.id])

    await wait_for(both)


async def test_a_database_that_is_starting_up_is_waited_for(toy: Toy) -> None:
    attempts = 0

    async def starting(_: PasswordChanged, __: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 5:
            raise asyncpg.CannotConnectNowError("the database system is starting up")

    toy.on_event = starting
    event = toy.event()
    await publish(toy, event)

    async def there() -> bool:
        return await committed(toy) == [event.id]

    await wait_for(there)
    assert await toy.rows(PARKED) == []


async def test_a_record_whose_error_text_postgresql_refuses_is_parked(toy: Toy) -> None:
    """JSONB has no NUL: a reason that held one was tried for ever."""

    async def poison(_: PasswordChanged, __: UnitOfWork) -> None:
        raise PoisonMessage("a\x00b\ud800")

    toy.on_event = poison
    await publish(toy, toy.event())
    await wait_for(lambda: _parked(toy, 1))
    (row,) = await toy.rows(PARKED)
    assert row.headers["readmit-dead-letter-reason"] == "PoisonMessage: a\ufffdb\ufffd"


async def test_the_largest_record_still_fits_as_a_dead_letter(toy: Toy) -> None:
    """A record as large as its topic takes is larger still as a dead letter, and must leave the outbox."""
    await send(toy, b"{" + b"x" * 1_040_000, headers=[("h", b"y" * 4000)])
    await wait_for(lambda: _parked(toy, 1))

    async def relayed() -> bool:
        return await toy.rows("SELECT 1 FROM outbox") == []

    admin = AIOKafkaAdminClient(bootstrap_servers=toy.servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(f"{toy.topic}.{toy.group}.dlt", 1, 1)])
    finally:
        await admin.close()
    await wait_for(relayed)


async def _parked(toy: Toy, count: int) -> bool:
    return len(await toy.rows(PARKED)) == count
