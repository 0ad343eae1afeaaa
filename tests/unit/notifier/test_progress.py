"""How often the broker is asked how far the identity platform's events reach."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import TopicPartition

from services.notifier.adapters import progress as module
from services.notifier.adapters.progress import ConsumerProgress

ACCOUNTS = TopicPartition("accounts", 0)


class Group:
    """A consumer that has just been assigned its partitions; each question to the broker takes a fetch's time."""

    def __init__(self, lag: int) -> None:
        self.behind, self.asked, self.end, self.news = lag, 0, 0, True

    @property
    def consumer(self) -> Any:
        return self

    def assignment(self) -> set[TopicPartition]:
        return {ACCOUNTS}

    def brings_news(self, _: TopicPartition) -> bool:
        return self.news

    async def lag(self) -> dict[TopicPartition, int]:
        self.asked += 1
        return {ACCOUNTS: self.behind}

    def highwater(self, partition: TopicPartition) -> int:
        return self.end

    async def position(self, partition: TopicPartition) -> int:
        return 0


def progress_of(group: Any) -> ConsumerProgress:
    progress = ConsumerProgress(["accounts"])
    progress.consumer = group
    return progress


async def test_a_batch_of_requests_asks_once() -> None:
    """Found by the fault test: after a start each request of a batch waited for the broker's answer by itself."""
    group = Group(lag=7)
    progress = progress_of(group)
    assert [await progress.catching_up() for _ in range(100)] == [True] * 100
    assert group.asked == 1


async def test_it_is_asked_again_when_they_come_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_ANSWER_HOLDS", 0.02)
    group = Group(lag=7)
    progress = progress_of(group)
    assert await progress.catching_up()
    group.behind = 0
    await asyncio.sleep(0.03)
    assert not await progress.catching_up()
    group.behind = 7  # caught up once: only a large backlog, as of the last fetch, counts now
    await asyncio.sleep(0.03)
    assert not await progress.catching_up()
    assert group.asked == 2


async def test_a_backlog_of_what_is_known_holds_nothing_up() -> None:
    group = Group(lag=0)
    progress = progress_of(group)
    assert not await progress.catching_up()
    group.end = group.behind = 100_000
    assert await progress.catching_up()
    assert await progress.lag() == 100_000
    group.news = False
    assert not await progress.catching_up()
    assert await progress.lag() == 0
