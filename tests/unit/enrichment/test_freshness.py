"""When identity events count as being on their way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.enrichment.adapters.freshness import BACKLOG, ConsumerFreshness
from shared.schemas.topics import Topic

ACCOUNTS = TopicPartition(Topic.IDENTITY_ACCOUNTS.value, 0)
ACTIVITY = TopicPartition(Topic.IDENTITY_ACTIVITY.value, 0)
REQUESTS = TopicPartition(Topic.ASSISTANCE_REQUESTS.value, 0)


class FakeKafka:
    """The ends and positions that aiokafka's consumer knows."""

    def __init__(self, **known: tuple[int | None, int | None]) -> None:
        names = {"accounts": ACCOUNTS, "activity": ACTIVITY, "requests": REQUESTS}
        self._known = {names[name]: values for name, values in known.items()}

    def assignment(self) -> set[TopicPartition]:
        return set(self._known)

    def highwater(self, partition: TopicPartition) -> int | None:
        return self._known[partition][0]

    async def position(self, partition: TopicPartition) -> int:
        position = self._known[partition][1]
        if position is None:
            await asyncio.sleep(60)
        assert position is not None
        return position


class FakeConsumer:
    news = True

    def brings_news(self, _: TopicPartition) -> bool:
        return self.news

    def __init__(self, kafka: FakeKafka) -> None:
        self.consumer = kafka
        self.busy = False
        self.processed = 0


def freshness(**known: tuple[int | None, int | None]) -> tuple[ConsumerFreshness, Any]:
    fresh = ConsumerFreshness()
    consumer: Any = FakeConsumer(FakeKafka(**known))
    fresh.consumer = consumer
    return fresh, consumer


@pytest.mark.parametrize(
    ("known", "fresh"),
    [
        ({"accounts": (7, 7), "activity": (7, 7)}, True),
        ({"accounts": (BACKLOG, 0)}, True),
        ({"accounts": (BACKLOG, 0), "activity": (1, 0)}, False),
        ({"accounts": (5, 7)}, True),  # the embedded broker's end may lie before the position
        ({"accounts": (BACKLOG, 0), "activity": (5, 7)}, True),
        ({"requests": (BACKLOG + 1, 0)}, True),  # these are no news about accounts
        ({"accounts": (None, 0)}, False),  # not fetched yet
        ({"accounts": (7, None)}, False),  # where to read from is not known yet
        ({}, True),  # another replica's
    ],
)
async def test_more_than_a_batch_behind_is_not_fresh(known: dict[str, Any], fresh: bool) -> None:
    found, _ = freshness(**known)
    assert await found() is fresh


async def test_settled_is_when_the_batch_in_hand_is_done() -> None:
    fresh, consumer = freshness(accounts=(7, 7))
    await fresh.until_settled()  # nothing in hand
    consumer.busy = True
    waiting = asyncio.create_task(fresh.until_settled())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    consumer.processed += 1  # and the next batch is in hand already
    await asyncio.wait_for(waiting, 1)


async def test_a_batch_that_waits_for_something_itself_is_not_waited_for() -> None:
    fresh, consumer = freshness(accounts=(7, 7))
    consumer.busy = True
    await asyncio.wait_for(fresh.until_settled(), 5)


async def test_a_backlog_of_what_is_known_holds_nothing_up() -> None:
    found, consumer = freshness(accounts=(100 * BACKLOG, 0))
    assert not await found()
    consumer.news = False
    assert await found()
