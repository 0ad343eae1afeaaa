"""Which offsets are committed after a batch during which the group was put elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError

from shared.kit.messaging import consumer as module
from shared.kit.messaging.consumer import Record, RecordConsumer, _Rebalances

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class Read:
    partition: int
    offset: int
    topic: str = "t"
    key: bytes | None = None
    value: bytes | None = b""
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass
class Group:
    """The consumer as it stands after the batch."""

    positions: dict[TopicPartition, int | None]  # None while it is not known
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    away: bool = False

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    async def position(self, partition: TopicPartition) -> int:
        position = self.positions[partition]
        if position is None:
            await asyncio.Event().wait()
        assert position is not None
        return position

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        """Tries until it is answered, as the library does."""
        while self.away:
            await asyncio.sleep(0)
        if not set(offsets) <= set(self.positions):
            raise IllegalStateError
        self.committed |= offsets


READ: list[Record] = [Read(0, 7), Read(0, 8), Read(1, 3)]


async def process(records: Sequence[Record]) -> None:
    """All is done already."""


async def commit(positions: dict[TopicPartition, int | None]) -> dict[TopicPartition, int]:
    group: Any = Group(positions)
    await RecordConsumer("g.events", process)._commit(group, READ)
    return dict(group.committed)


async def test_a_commit_that_outlasts_the_broker_is_given_up_when_the_group_is_joined_again() -> None:
    """Found by the fault test: tried again on the new broker, by the new member, it had audit pass over 15 records."""
    group: Any = Group({A: 9, B: 4}, away=True)
    consumer = RecordConsumer("g.events", process)
    committing = asyncio.create_task(consumer._commit(group, READ))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not committing.done()
    await _Rebalances(consumer).on_partitions_revoked([])
    group.away = False
    await committing
    assert group.committed == {}


async def test_who_is_cancelled_does_not_go_on_committing() -> None:
    group: Any = Group({A: 9, B: 4}, away=True)
    committing = asyncio.create_task(RecordConsumer("g.events", process)._commit(group, READ))
    for _ in range(20):
        await asyncio.sleep(0)
    committing.cancel()
    await asyncio.gather(committing, return_exceptions=True)
    assert committing.cancelled()
    group.away = False
    for _ in range(20):
        await asyncio.sleep(0)
    assert group.committed == {}


async def test_what_was_read_is_committed() -> None:
    assert await commit({A: 9, B: 4}) == {A: 9, B: 4}
    assert await commit({A: 12, B: 4}) == {A: 9, B: 4}, "more was fetched meanwhile"


async def test_an_offset_of_a_log_that_is_gone_is_not_committed_to_the_new_one() -> None:
    """A broker that lost its log has the group read from the beginning; 9 is an offset of the old log."""
    assert await commit({A: 0, B: 4}) == {B: 4}
    assert await commit({A: 0, B: 0}) == {}


async def test_a_partition_that_went_to_another_does_not_keep_the_others_from_being_committed() -> None:
    assert await commit({B: 4}) == {B: 4}


async def test_a_position_that_nobody_knows_is_not_waited_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_POSITION_SECONDS", 0.05)
    assert await commit({A: None, B: 4}) == {B: 4}
