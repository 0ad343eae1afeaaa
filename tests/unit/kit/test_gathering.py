"""A batch waits a moment for its neighbours when records come fast, and only then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from shared.kit.messaging import consumer as module
from shared.kit.messaging.consumer import Record, RecordConsumer
from shared.kit.messaging.pace import Pace
from tests.unit.kit.test_consumer_commits import Read

PARTITION = TopicPartition("t", 0)


class Topic:
    """A consumer that has one more record every so many seconds."""

    def __init__(self, every: float, there: int = 0) -> None:
        self._every = every
        self._began = time.monotonic()
        self._there = there
        self.read = 0
        self.committed = 0

    def _arrived(self) -> int:
        return self._there + int((time.monotonic() - self._began) / self._every)

    async def getone(self) -> Record:
        while self.read >= self._arrived():
            await asyncio.sleep(0.001)
        self.read += 1
        return Read(0, self.read - 1)

    async def getmany(self, *_: Any, max_records: int, **__: Any) -> dict[TopicPartition, list[Record]]:
        ready = range(self.read, min(self._arrived(), self.read + max_records))
        self.read += len(ready)
        return {PARTITION: [Read(0, offset) for offset in ready]} if ready else {}

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    async def position(self, _: TopicPartition) -> int:
        return self.read

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed = offsets[PARTITION]


async def batches_of(topic: Topic, seconds: float) -> list[int]:
    """How large the batches are of a service that reads the topic for so long."""
    batches: list[int] = []

    async def process(records: Sequence[Record]) -> None:
        batches.append(len(records))

    consumer = RecordConsumer("g", process)
    consumer._subscriber = SimpleNamespace(consumer=topic)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await consumer._on_record(await topic.getone())
    assert sum(batches) == topic.read == topic.committed
    return batches


async def test_what_comes_fast_comes_together() -> None:
    batches = await batches_of(Topic(every=0.01), 1.5)
    assert max(batches) >= 5
    assert sum(batches) / len(batches) > 3


async def test_what_comes_slowly_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def gather(*_: Any) -> None:
        waited.append(time.monotonic())

    monkeypatch.setattr(RecordConsumer, "_gather", gather)
    assert set(await batches_of(Topic(every=0.12), 1.0)) == {1}
    assert waited == []


async def test_many_that_are_there_already_wait_for_nothing() -> None:
    topic, batches = Topic(every=60.0, there=module.MAX_RECORDS), []

    async def process(records: Sequence[Record]) -> None:
        batches.append(len(records))

    consumer = RecordConsumer("g", process)
    consumer._subscriber = SimpleNamespace(consumer=topic)
    began = time.monotonic()
    await consumer._on_record(await topic.getone())
    assert batches == [module.MAX_RECORDS]
    assert time.monotonic() - began < module._GATHER_SECONDS


async def test_a_stop_is_not_waited_for() -> None:
    consumer = RecordConsumer("g", lambda _: asyncio.sleep(0))
    consumer.stopping.set()
    began = time.monotonic()
    await consumer._gather(Topic(every=0.001), [])
    assert time.monotonic() - began < module._GATHER_STEP


def test_the_pace_is_of_about_the_last_second() -> None:
    pace = Pace()
    for number in range(200):
        level = pace.add(1, number / 20)
    assert 18 < level < 22
    assert pace.add(0, 15.0) < 0.2
