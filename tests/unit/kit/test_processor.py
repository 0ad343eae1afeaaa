"""The brake on dead-lettering: a bad deployment must not empty its topics into the dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.kit.clock import uuid7
from shared.kit.messaging import events
from shared.kit.messaging.consumer import MAX_RECORDS
from shared.kit.messaging.dead_letters import DeadLetter
from shared.kit.messaging.errors import PoisonMessage
from shared.kit.messaging.events import EventProcessor, Handlers, Pauses
from shared.schemas.identity import PasswordChanged, PasswordChangedData
from tests.unit.kit.test_dead_letters import Letter

ATTEMPTS = [1, 2]  # the pauses between the three tries of a bug


class Store:
    """A database and its unit of work at once: everything is seen for the first time."""

    def __init__(self) -> None:
        self.parked: list[bytes | None] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Store]:
        yield self

    async def first_times(self, items: list[Any]) -> list[Any]:
        return items


class Quiet:
    """A log that says nothing: tracebacks take longer to draw than all else here."""

    def __getattr__(self, _: str) -> Callable[..., None]:
        return lambda *_, **__: None


class World:
    """A processor, whose handler fails for the events that `fails` names, and what became of its records."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, in_a_row: int = 5) -> None:
        self.store = Store()
        self.error: type[Exception] = KeyError
        self.fails: Callable[[str], bool] = lambda _: True
        self.done: list[str] = []
        self.pauses: list[float] = []
        self.in_pause: Callable[[], Any] = lambda: None
        handlers = Handlers()

        @handlers.on(PasswordChanged)
        async def handle(event: PasswordChanged, _: Any) -> None:
            if self.fails(event.id):
                raise self.error
            self.done.append(event.id)

        async def pause(_: EventProcessor, seconds: float) -> None:
            self.pauses.append(seconds)
            assert len(self.pauses) < 1000, "waits for ever"
            self.in_pause()

        async def park(unit: Store, letters: Sequence[DeadLetter], *, group: str) -> None:
            unit.parked += [letter.record.value for letter in letters]

        monkeypatch.setattr(EventProcessor, "_pause", pause)
        monkeypatch.setattr(events, "log", Quiet())
        monkeypatch.setattr(events, "park", park)
        store: Any = self.store
        self.process = EventProcessor(
            "toy.events", store, handlers, pauses=Pauses(1, 60), dead_letters_in_a_row=in_a_row
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def letter(event_id: str | None = None) -> Letter:
    event = PasswordChanged(
        id=event_id or uuid7(), source="/test", time=datetime.now(UTC), data=PasswordChangedData(account_id="a-1")
    )
    return Letter(event.to_bytes())


def letters(count: int) -> list[Any]:
    return [letter() for _ in range(count)]


@pytest.mark.parametrize("error", [KeyError, PoisonMessage])
async def test_when_everything_fails_it_stops_parking_and_goes_on_when_the_cause_is_gone(
    world: World, error: type[Exception]
) -> None:
    world.error = error
    waits: list[str] = []

    def mend_at_the_third() -> None:
        if world.process._braked_by is not None:
            waits.append(type(world.process._braked_by).__name__)
            if len(waits) == 3:
                world.fails = lambda _: False

    world.in_pause = mend_at_the_third
    records = letters(40)
    await world.process(records)
    assert waits == [error.__name__] * 3
    assert len(world.store.parked) == 5, "as many as may fail in a row, and not one more"
    assert len(world.done) == 35
    assert {record.value for record in records[:5]} == set(world.store.parked)
    assert await world.process.braked() is None


async def test_it_says_that_it_is_not_ready_while_it_waits(world: World) -> None:
    said: list[str | None] = []

    def look() -> None:
        if world.process._braked_by is not None:
            coroutine = world.process.braked()
            try:
                coroutine.send(None)
            except StopIteration as answer:
                said.append(answer.value)
            world.fails = lambda _: False

    world.in_pause = look
    await world.process(letters(6))
    assert said == ["consumer group toy.events is braked: every record fails (KeyError), and none is parked for it"]
    assert events.braked.labels("toy.events")._value.get() == 0


async def test_pauses_behind_the_brake_grow_and_a_bug_is_not_tried_three_times_there(world: World) -> None:
    await_from = len(ATTEMPTS) * 6  # five that are parked and the sixth that brakes

    def mend_late() -> None:
        if len(world.pauses) == await_from + 4:
            world.fails = lambda _: False

    world.in_pause = mend_late
    await world.process(letters(8))
    assert world.pauses == [*ATTEMPTS * 6, 1, 2, 4, 8]


async def test_some_that_fail_among_others_never_brake(world: World) -> None:
    ids = [f"e-{number}" for number in range(60)]
    bad = {event_id for number, event_id in enumerate(ids) if number % 6 != 5}
    world.fails = bad.__contains__
    for event_id in ids:
        await world.process([letter(event_id)])
    assert len(world.store.parked) == 50
    assert world.pauses == ATTEMPTS * 50


async def test_poison_in_a_row_holds_up_nobody_behind_it(world: World) -> None:
    """All that could be seen failed; what comes later does not. It is looked for, and then they are parked."""
    world.error = PoisonMessage
    world.fails = lambda event_id: event_id.startswith("poison")
    later = [[letter("poison-later")], [], [letter("good")]]

    async def look_ahead(limit: int) -> list[Any]:
        assert limit <= MAX_RECORDS
        return later.pop(0) if later else []

    world.process.look_ahead = look_ahead
    await world.process([letter(f"poison-{number}") for number in range(20)])
    assert world.done == ["good"]
    assert len(world.store.parked) == 21
    assert world.pauses == [1, 2, 4]


async def test_it_holds_no_more_than_a_batch(world: World) -> None:
    asked: list[int] = []

    async def look_ahead(limit: int) -> list[Any]:
        asked.append(limit)
        if len(asked) == 2:
            world.fails = lambda _: False
        return letters(limit)

    world.error = PoisonMessage
    world.process.look_ahead = look_ahead
    world.in_pause = lambda: None if len(world.pauses) < 3 else setattr(world, "fails", lambda _: False)
    await world.process(letters(9))
    assert asked == [MAX_RECORDS - 4]
    assert len(world.done) == MAX_RECORDS


async def test_malformed_records_are_parked_without_a_pause_and_never_brake(world: World) -> None:
    """They are the sender's fault, and whoever floods with them must not hold up the others."""
    await world.process([Letter(b"{"), Letter(None), *[Letter(b"[]") for _ in range(48)]])
    assert len(world.store.parked) == 50
    assert world.pauses == []
    assert await world.process.braked() is None


async def test_malformed_records_do_not_release_the_brake_either(world: World) -> None:
    world.in_pause = lambda: setattr(world, "fails", lambda _: len(world.pauses) < 20)
    await world.process([*letters(3), Letter(b"{"), *letters(7)])
    assert len(world.store.parked) == 5 + 1


async def test_a_batch_with_one_poison_message_is_halved_and_not_counted_out(world: World) -> None:
    tries = 0

    def fails(event_id: str) -> bool:
        nonlocal tries
        tries += 1
        return event_id == "poison"

    world.error, world.fails = PoisonMessage, fails
    records: list[Any] = letters(256)
    records[100] = letter("poison")
    await world.process(records)
    assert len(set(world.done)) == 255
    assert len(world.store.parked) == 1
    assert tries < 1000, "each half once more a level, and not each record by itself"


async def test_the_brake_can_be_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, in_a_row=0)
    world.error = PoisonMessage
    await world.process(letters(30))
    assert len(world.store.parked) == 30
