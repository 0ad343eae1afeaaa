"""Telling a refill, which repeats what is known, from a backlog, which is news."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from aiokafka import TopicPartition

from shared.kit.messaging.consumer import MAX_RECORDS, REFILLED_HEADER, Record, RecordConsumer, RecordProcessor

HERE, ELSEWHERE = TopicPartition("t", 0), TopicPartition("t", 1)
MANY = 2 * MAX_RECORDS


@dataclass
class Arrived:
    headers: Sequence[tuple[str, bytes | None]] = ()
    partition: int = 0
    topic: str = "t"
    offset: int = 0
    key: bytes | None = None
    value: bytes | None = None


def some(count: int, *, refilled: bool) -> list[Record]:
    return [Arrived([(REFILLED_HEADER, b"1")] if refilled else []) for _ in range(count)]


def consumer() -> RecordConsumer:
    return RecordConsumer("g", cast("RecordProcessor", None))


def news(records: Sequence[Record]) -> set[int]:
    return {id(record) for record in records}


def test_a_partition_brings_news_until_long_it_did_not() -> None:
    group = consumer()
    assert group.brings_news(HERE)
    group.note(some(MANY - 1, refilled=True), ())
    assert group.brings_news(HERE)
    group.note(some(1, refilled=True), ())
    assert not group.brings_news(HERE)
    assert group.brings_news(ELSEWHERE)


def test_what_comes_again_without_a_refill_is_no_sign_of_one() -> None:
    """A crash brings a batch again, and types that nobody here handles are passed over: news may be behind both."""
    group = consumer()
    group.note(some(10 * MANY, refilled=False), ())
    assert group.brings_news(HERE)


def test_what_was_lost_with_the_broker_is_news_though_it_is_refilled() -> None:
    group = consumer()
    lost = some(MANY, refilled=True)
    group.note(lost, news(lost))
    assert group.brings_news(HERE)


def test_a_little_traffic_meanwhile_changes_nothing_and_a_backlog_does() -> None:
    group = consumer()
    for _ in range(MANY // 10):
        fresh = some(1, refilled=False)
        group.note(some(20, refilled=True), ())
        group.note(fresh, news(fresh))
    assert not group.brings_news(HERE)
    backlog = some(MAX_RECORDS, refilled=False)
    group.note(backlog, news(backlog))
    assert group.brings_news(HERE)
