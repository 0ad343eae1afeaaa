"""The brake on dead-lettering: a bad deployment must not empty its topics into the dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.kit.clock import uuid7
from shared.kit.messaging.events import EventProcessor, Handlers, Pauses
from shared.schemas.identity import PasswordChanged, PasswordChangedData
from tests.unit.kit.test_small_parts import Letter


class Store:
    """A database and its unit of work at once: everything is seen for the first time."""

    def __init__(self) -> None:
        self.parked = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Store]:
        yield self

    async def first_times(self, events: list[Any]) -> list[Any]:
        return events

    def publish_raw(self, _: Any) -> None:
        self.parked += 1


def letters(count: int, **changes: Any) -> list[Any]:
    event = PasswordChanged(
        id=uuid7(), source="/test", time=datetime.now(UTC), data=PasswordChangedData(account_id="a-1")
    )  # fmt: skip
    return [Letter(changes.get("value", event.to_bytes())) for _ in range(count)]


@pytest.fixture
def broken() -> dict[str, bool]:
    return {"yes": True}


@pytest.fixture
def paused(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []

    async def pause(_: EventProcessor, seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(EventProcessor, "_pause", pause)
    return pauses


def processor(store: Store, broken: dict[str, bool]) -> EventProcessor:
    handlers = Handlers()

    @handlers.on(PasswordChanged)
    async def handle(_: PasswordChanged, __: Any) -> None:
        if broken["yes"]:
            raise KeyError

    return EventProcessor("toy.events", store, handlers, pauses=Pauses(1, 60))  # type: ignore[arg-type]


async def test_a_run_of_bugs_is_braked_until_one_succeeds(broken: dict[str, bool], paused: list[float]) -> None:
    store = Store()
    process = processor(store, broken)
    tries = [1, 2]  # the pauses between the three tries of each
    await process(letters(4))
    assert store.parked == 4
    assert paused == [*tries, 1, *tries, 2, *tries, 4, *tries, 8]
    broken["yes"] = False
    await process(letters(1))
    broken["yes"] = True
    paused.clear()
    await process(letters(1))
    assert paused == [*tries, 1]
    assert store.parked == 5


async def test_malformed_records_are_parked_without_a_pause(broken: dict[str, bool], paused: list[float]) -> None:
    """They are the sender's fault, and whoever floods with them must not hold up the others."""
    store = Store()
    await processor(store, broken)(letters(50, value=b"{"))
    assert store.parked == 50
    assert paused == []
