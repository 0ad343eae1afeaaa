"""Dead letters on a real database and broker: parked, read again byte for byte, replayed, dropped; and the brake."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import REGISTRY
from sqlalchemy import text

from shared.kit.db.tables import create_dead_letters
from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.dead_letter_store import (
    Letter,
    Selection,
    State,
    ask_replay,
    count_letters,
    drop,
    list_letters,
    read_letter,
)
from shared.kit.messaging.dead_letter_worker import DeadLetterWorker
from shared.kit.messaging.errors import PoisonMessage, RetryableError
from shared.schemas.identity import PasswordChanged
from tests.builders.records import RawRecord, send_raw
from tests.integration.kit.conftest import Toy, wait_for
from tests.integration.kit.test_messaging import committed, send

BAD = b'{"specversion": "1.0", "broken": \xff\x00'
ALL = Selection()


async def letters(toy: Toy, selection: Selection = ALL) -> list[Letter]:
    async with toy.plumbing.database.read() as connection:
        return await list_letters(connection, selection)


async def wait_for_letters(toy: Toy, count: int, selection: Selection = ALL) -> list[Letter]:
    async def there() -> bool:
        return len(await letters(toy, selection)) == count

    await wait_for(there)
    return await letters(toy, selection)


async def replay(toy: Toy, *ids: int) -> None:
    async with toy.plumbing.database.begin() as unit:
        await ask_replay(unit.connection, Selection(ids=ids), by="ops")


def worker(toy: Toy) -> DeadLetterWorker:
    (found,) = [item for item in toy.plumbing.components if isinstance(item, DeadLetterWorker)]
    return found


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def poisoned(toy: Toy) -> tuple[PasswordChanged, Letter]:
    async def refuse(_: PasswordChanged, __: UnitOfWork) -> None:
        raise PoisonMessage("the account has no such thing")

    toy.on_event = refuse
    event = toy.event()
    await send(toy, event.to_bytes(), headers=[("weird", b"\xff\xfe")])
    (letter,) = await wait_for_letters(toy, 1)
    return event, letter


async def test_a_letter_says_where_it_came_from_and_holds_the_record(toy: Toy) -> None:
    await send(toy, BAD, headers=[("weird", b"\xff\xfe"), ("weird", b"")])
    producer = AIOKafkaProducer(bootstrap_servers=toy.servers)
    await producer.start()
    try:
        # `send` refuses a record without key and value, and header names that are no UTF-8; the protocol does not.
        await send_raw(producer, toy.topic, 0, [RawRecord(None), RawRecord(b"", b"", [(b"n\xff\xfe", b"")])])
    finally:
        await producer.stop()
    found = await wait_for_letters(toy, 3)
    assert {(letter.consumer_group, letter.topic, letter.kind) for letter in found} == {
        (toy.group, toy.topic, "malformed")
    }
    by_size = {letter.size: letter for letter in found}
    async with toy.plumbing.database.read() as connection:
        records = {size: await read_letter(connection, letter.id) for size, letter in by_size.items()}
    bad, empty, none = records[len(BAD)], records[0], records[None]
    assert bad is not None
    assert (bad[1].key, bad[1].value) == (b"k", BAD)
    assert bad[1].headers == [("weird", b"\xff\xfe"), ("weird", b"")]
    assert bad[0].reason == "MalformedEvent: not UTF-8"
    assert empty is not None
    assert (empty[1].key, empty[1].value) == (b"", b"")
    ((name, content),) = empty[1].headers
    assert (name.encode("utf-8", "surrogateescape"), content) == (b"n\xff\xfe", b"")
    assert none is not None
    assert (none[1].key, none[1].value) == (None, None)
    total = {"group": toy.group, "topic": toy.topic, "reason": "malformed"}
    assert gauge("readmit_dead_letters_total", **total) == 3


async def test_malformed_records_are_parked_in_the_transaction_of_their_neighbours(toy: Toy) -> None:
    events = [toy.event() for _ in range(30)]
    values = [value for event in events for value in (event.to_bytes(), BAD)]
    await send(toy, *values)
    await wait_for_letters(toy, 30)
    await wait_for(lambda: len(toy.seen) == 30)
    assert sorted(toy.seen) == sorted(event.id for event in events), "no batch was tried twice"


async def test_a_replay_has_the_effect_once_and_settles_the_letter(toy: Toy) -> None:
    event, letter = await poisoned(toy)
    assert (letter.kind, letter.reason) == ("refused", "PoisonMessage: the account has no such thing")
    toy.on_event = None
    await replay(toy, letter.id)
    (letter,) = await wait_for_letters(toy, 1, Selection(states=[State.REPLAYED]))
    assert await committed(toy) == [event.id]
    await send(toy, event.to_bytes())  # and what is delivered after all finds the inbox mark
    later = toy.event()
    await send(toy, later.to_bytes())

    async def there() -> bool:
        return later.id in await committed(toy)

    await wait_for(there)
    assert await committed(toy) == [event.id, later.id]
    async with toy.plumbing.database.read() as connection:
        found = await read_letter(connection, letter.id)
    assert found is not None
    (action,) = found[2]
    assert (action.action, action.by, action.outcome) == ("replay", "ops", "replayed")
    assert letter.settled_at is not None


async def test_a_replay_that_fails_again_is_parked_again_with_its_reason(toy: Toy) -> None:
    _, letter = await poisoned(toy)

    async def break_down(_: PasswordChanged, __: UnitOfWork) -> None:
        raise KeyError("somebody@example.org")

    toy.on_event = break_down
    await replay(toy, letter.id)

    async def failed_again() -> bool:
        (now,) = await letters(toy)
        return now.state is State.PARKED and now.replays == 1

    await wait_for(failed_again)
    (again,) = await letters(toy)
    assert (again.id, again.kind, again.reason) == (letter.id, "failed", "KeyError")
    assert await committed(toy) == []
    assert len(await toy.rows("SELECT 1 FROM ledger")) == 1, "it is the same letter, and no new one"
    async with toy.plumbing.database.read() as connection:
        found = await read_letter(connection, letter.id)
    assert found is not None
    assert [(action.outcome, action.detail) for action in found[2]] == [("failed", "KeyError")]


async def test_a_replay_waits_for_what_is_away(toy: Toy) -> None:
    event, letter = await poisoned(toy)
    attempts = 0

    async def away(_: PasswordChanged, __: UnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        raise RetryableError

    toy.on_event = away
    await replay(toy, letter.id)
    await wait_for(lambda: attempts)
    assert [item.state for item in await letters(toy)] == [State.REPLAYING]
    toy.on_event = None
    await wait_for_letters(toy, 1, Selection(states=[State.REPLAYED]))
    assert await committed(toy) == [event.id]


async def test_two_replicas_replay_a_letter_once(toy: Toy) -> None:
    """Whoever finishes second finds it settled: the row's lock and its state decide."""
    event, letter = await poisoned(toy)
    await worker(toy).stop()
    toy.on_event = None
    await replay(toy, letter.id)
    await worker(toy)._replay(letter.id)
    await worker(toy)._replay(letter.id)
    assert await committed(toy) == [event.id]
    assert [item.state for item in await letters(toy)] == [State.REPLAYED]


async def test_a_dropped_letter_keeps_its_bytes_and_may_still_be_replayed(toy: Toy) -> None:
    event, letter = await poisoned(toy)
    async with toy.plumbing.database.begin() as unit:
        assert await drop(unit.connection, ALL, by="ops", because="a test of theirs\x00") == [letter.id]
        assert await drop(unit.connection, ALL, by="ops", because="again") == []
    async with toy.plumbing.database.read() as connection:
        found = await read_letter(connection, letter.id)
    assert found is not None
    assert found[0].state is State.DROPPED
    assert found[1].value == event.to_bytes()
    (action,) = found[2]
    assert (action.action, action.by, action.because) == ("drop", "ops", "a test of theirs\ufffd")
    toy.on_event = None
    await replay(toy, letter.id)
    await wait_for_letters(toy, 1, Selection(states=[State.REPLAYED]))
    assert await committed(toy) == [event.id]


async def test_letters_are_selected_and_paged(toy: Toy) -> None:
    await send(toy, *[b"%d" % number for number in range(7)], b"\xff")
    everything = await wait_for_letters(toy, 8)
    async with toy.plumbing.database.read() as connection:
        first = await list_letters(connection, ALL, limit=5)
        rest = await list_letters(connection, ALL, after=first[-1].id, limit=5)
        assert [*first, *rest] == everything
        for selection, expected in [
            (Selection(reason="malformed"), 8),
            (Selection(reason="not utf-8"), 1),
            (Selection(reason="100%"), 0),
            (Selection(topics=["nowhere"]), 0),
            (Selection(topics=[toy.topic, "nowhere"]), 8),
            (Selection(groups=[toy.group]), 8),
            (Selection(since=everything[-1].parked_at + timedelta(seconds=1)), 0),
            (Selection(since=everything[0].parked_at), 8),
            (Selection(ids=[everything[2].id]), 1),
            (Selection(states=[State.DROPPED]), 0),
        ]:
            assert await count_letters(connection, selection) == expected, selection


async def test_gauges_tell_how_many_wait_and_since_when(toy: Toy) -> None:
    await send(toy, BAD, BAD)
    await wait_for_letters(toy, 2)
    async with toy.plumbing.database.begin() as unit:
        await unit.connection.execute(text("UPDATE dead_letters SET parked_at = now() - interval '1 hour'"))
    await worker(toy).count()
    assert gauge("readmit_dead_letters_parked", group=toy.group, topic=toy.topic) == 2
    assert 3600 <= (gauge("readmit_dead_letters_oldest_seconds", group=toy.group) or 0) < 3700
    async with toy.plumbing.database.begin() as unit:
        await drop(unit.connection, ALL, by="ops", because="seen")
    await worker(toy).count()
    assert gauge("readmit_dead_letters_parked", group=toy.group, topic=toy.topic) == 0
    assert gauge("readmit_dead_letters_oldest_seconds", group=toy.group) == 0


async def test_everything_fails_and_the_service_waits_then_goes_on(toy: Toy) -> None:
    broken = True

    async def break_down(_: PasswordChanged, __: UnitOfWork) -> None:
        if broken:
            raise KeyError

    toy.on_event = break_down
    events = [toy.event() for _ in range(30)]
    await send(toy, *[event.to_bytes() for event in events])
    (check,) = toy.plumbing.brakes.values()
    await wait_for(check, 30)
    later = toy.event()
    await send(toy, later.to_bytes())  # comes while it waits
    await wait_for(lambda: later.id in toy.seen, 30)
    parked = await letters(toy)
    assert len(parked) == 5
    app = toy.plumbing.application(title="toy", description="")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://toy") as client:
        ready = await client.get("/health/ready")
    assert (ready.status_code, list(ready.json()["problems"])) == (503, [f"brake {toy.group}"])
    assert gauge("readmit_consumer_braked", group=toy.group) == 1
    assert await toy.plumbing.consumers[0].unready() is None
    broken = False

    async def all_there() -> bool:
        return len(await committed(toy)) == 26

    await wait_for(all_there)
    assert await check() is None
    assert gauge("readmit_consumer_braked", group=toy.group) == 0
    assert [letter.kind for letter in parked] == ["failed"] * 5
    await replay(toy, *[letter.id for letter in parked])
    await wait_for_letters(toy, 5, Selection(states=[State.REPLAYED]))
    assert sorted(await committed(toy)) == sorted([later.id, *(event.id for event in events)])
    consumer: Any = toy.plumbing.consumers[0].consumer

    async def committed_all() -> bool:
        return sum([await consumer.committed(partition) or 0 for partition in consumer.assignment()]) == 31

    await wait_for(committed_all)


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MalformedEvent: not JSON", "malformed"),
        ("PoisonMessage: x", "refused"),
        ("IntegrityError", "refused"),
        ("KeyError", "failed"),
    ],
)
async def test_letters_of_an_earlier_version_are_taken_up(toy: Toy, reason: str, kind: str) -> None:
    await send(toy, BAD)
    (letter,) = await wait_for_letters(toy, 1)
    async with toy.plumbing.engine.begin() as connection:
        await connection.execute(text("DROP TABLE dead_letter_actions, dead_letters"))
        key = "readmit-dead-letter-reason"
        change = text(f"UPDATE ledger SET headers = headers || jsonb_build_object('{key}', CAST(:reason AS text))")
        await connection.execute(change, {"reason": reason})
        await connection.run_sync(create_dead_letters)
        await connection.run_sync(create_dead_letters)
    (adopted,) = await letters(toy)
    assert (adopted.topic, adopted.offset, adopted.size) == (letter.topic, letter.offset, len(BAD))
    assert (adopted.kind, adopted.reason) == (kind, reason)
    assert adopted.state is State.PARKED
