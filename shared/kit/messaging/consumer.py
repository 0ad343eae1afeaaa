"""Subscribing: raw records in, one transaction a batch, explicit offsets, our own policy for errors.

FastStream's policies lose or loop (DESIGN section 4, hazards 1, 2 and 3), its `ack()` commits every partition (4), and
its parsers fail before the handler on odd headers (6). So the subscriber takes records as they are, acknowledges
manually, and never raises: `process` either finished with every record, or the consumer is stopping.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import FAKE_CONSUMER
from prometheus_client import Counter, Gauge

from shared.kit.failpoints import failpoint
from shared.kit.logging import get_logger
from shared.kit.messaging.header_names import tolerate_header_names
from shared.kit.messaging.membership import commit_as_members_only
from shared.kit.messaging.pace import BUSY, Pace
from shared.kit.settings import ServiceSettings

log = get_logger(__name__)

_POSITION_SECONDS = 2.0
MAX_RECORDS = 500  # a batch's transaction stays small enough to retry, large enough that commits don't dominate

# A transaction and an offset commit cost the same for one record as for ten. When records come one by one but fast, a
# batch waits a moment for its neighbours; when few come, or many are there already, it does not.
_GATHER_SECONDS = 0.1
_GATHER_STEP = 0.025
_GATHER_BELOW = 100  # records of a batch

REFILLED_HEADER = "readmit-refilled"  # of what was published before, and comes again because a broker lost its log
# After so many of them that were no news a partition is taken to bring none: a relay works on two rows at a time, 500
# messages each, so what was not known may be as far behind the newest as that. One that was news is so many less.
_REFILLED_RECORDS = 2 * MAX_RECORDS
_NEWS_WEIGHS = 10


class Record(Protocol):
    """The part of aiokafka's `ConsumerRecord` that processing needs; bytes as they came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


consumed_records = Counter("readmit_consumer_records_total", "Records processed.", ["group", "topic"])
failed_commits = Counter("readmit_consumer_commits_failed_total", "Offset commits that Kafka refused.", ["group"])
last_progress = Gauge("readmit_consumer_last_progress_seconds", "Unix time of the last committed record.", ["group"])


class Stopping(Exception):
    """The consumer is stopping; what was not finished will be delivered again."""


class RecordProcessor(Protocol):
    """Processes records. It returns when each has had its effect or was parked, and raises only `Stopping`."""

    async def __call__(self, records: Sequence[Record]) -> None: ...


class RecordConsumer:
    """One consumer group of a service over its topics."""

    def __init__(self, group: str, process: RecordProcessor) -> None:
        self.group = group
        self.stopping = asyncio.Event()
        self.busy = False  # a batch is being processed, or waits for what it needs
        self.processed = 0  # records since the start
        self.process = process
        self._in_hand: list[Record] = []
        self._pace = Pace()
        self._refilled: dict[TopicPartition, int] = {}
        self._subscriber: Any = None
        self._committing: asyncio.Future[None] | None = None

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        consumer: AIOKafkaConsumer | None = self._subscriber.consumer
        return consumer

    def subscribe(
        self, broker: KafkaBroker, settings: ServiceSettings, *, topics: Sequence[str] = (), pattern: str | None = None
    ) -> None:
        """Registers the subscriber on the broker, for the topics or for every topic that matches the pattern."""
        tolerate_header_names()
        commit_as_members_only()
        # One record and not `batch=True`: an idle batch subscriber sleeps `batch_timeout_ms` after each empty poll,
        # which is latency. What else has arrived is drained below.
        self._subscriber = broker.subscriber(
            *topics,
            pattern=pattern,
            group_id=self.group,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,  # hazard 5: a `reply_to` header would publish our return value
            auto_offset_reset="earliest",  # hazard 8
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_interval_ms,
            rebalance_timeout_ms=settings.kafka_rebalance_timeout_ms,
            max_poll_interval_ms=3_600_000,  # while the database is down we hold our partitions and wait
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            listener=_Rebalances(self),
            parser=_parse,
            decoder=_decode,
        )
        self._subscriber(self._on_record)

    async def _on_record(self, record: Any) -> None:  # Any: FastDepends would validate anything more precise
        consumer = self.consumer
        if consumer is None or self.stopping.is_set():
            return  # stopping: what comes after a batch that was given up must not be committed past it
        self.busy = True
        self._in_hand = records = [record]
        try:
            records += await _drain(consumer, MAX_RECORDS - 1)
            if self._pace.add(len(records), time.monotonic()) >= BUSY:
                await self._gather(consumer, records)
            await failpoint("consumer.after-fetch")
            await self.process(list(records))
        except Stopping:
            return
        except Exception as error:
            # A processor settles every record or raises Stopping; this is a mistake of ours. The position has moved
            # past the records, so without going back the next commit would lose them.
            log.error("consumer.processor_failed", group=self.group, exc_info=error)
            self._rewind(consumer, records)
            await asyncio.sleep(1.0)
            return
        finally:
            self.busy = False
        self.processed += len(records)
        await failpoint("consumer.before-offset-commit")
        await self._commit(consumer, records)

    async def _gather(self, consumer: AIOKafkaConsumer, records: list[Record]) -> None:
        """Adds what comes within a moment. Step by step: of a partition nothing is fetched while something waits."""
        end = time.monotonic() + _GATHER_SECONDS
        while len(records) < _GATHER_BELOW and time.monotonic() < end and not self.stopping.is_set():
            await asyncio.sleep(_GATHER_STEP)
            more = await _drain(consumer, MAX_RECORDS - len(records))
            self._pace.add(len(more), time.monotonic())
            records += more

    async def look_ahead(self, limit: int) -> list[Record]:
        """Up to so many further records, without waiting, for a processor that can't go on with what it has.

        They are in hand like the others: committed when the processor returns, delivered again when it gives up.
        """
        consumer = self.consumer
        more = [] if consumer is None else await _drain(consumer, limit)
        self._in_hand += more
        return more

    @staticmethod
    def _rewind(consumer: AIOKafkaConsumer, records: Sequence[Record]) -> None:
        first: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            first[partition] = min(first.get(partition, record.offset), record.offset)
        for partition, offset in first.items():
            if partition in consumer.assignment():
                consumer.seek(partition, offset)

    async def _commit(self, consumer: AIOKafkaConsumer, records: Sequence[Record]) -> None:
        offsets: dict[TopicPartition, int] = {}
        for record in records:
            partition = TopicPartition(record.topic, record.partition)
            offsets[partition] = max(offsets.get(partition, 0), record.offset + 1)
            consumed_records.labels(self.group, record.topic).inc()
        offsets = {part: offset for part, offset in offsets.items() if await self._reads_on(consumer, part, offset)}
        if not offsets:
            return
        # aiokafka tries for as long as it takes, each time as the member that it has become by then.
        commit = self._committing = asyncio.ensure_future(consumer.commit(offsets))
        try:
            await asyncio.wait({commit})
        finally:
            commit.cancel()
        error = CommitFailedError() if commit.cancelled() else commit.exception()
        if error is None:
            last_progress.labels(self.group).set(time.time())
        elif isinstance(error, KafkaError):
            # A rebalance took the partition, or the broker is away: delivered again, and the inbox makes it harmless.
            failed_commits.labels(self.group).inc()
            log.warning("consumer.commit_failed", group=self.group, error=type(error).__name__)
        else:
            raise error

    def give_commit_up(self) -> None:
        """Before the group is joined again: what is being committed is of before, and may not be of the same log."""
        if self._committing is not None:
            self._committing.cancel()

    @staticmethod
    async def _reads_on(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> bool:
        """Whether the group still reads on from there.

        A rebalance during the batch may have put it elsewhere: back to the beginning, where a broker lost its log. The
        offset is one of the old log then; committed to the new one, it would have a restart pass over records.
        """
        if partition not in consumer.assignment():
            return False
        try:
            async with asyncio.timeout(_POSITION_SECONDS):  # known at once, but for the moment of a rebalance
                return bool(await consumer.position(partition) >= offset)
        except (KafkaError, TimeoutError):
            return False

    async def lag(self) -> dict[TopicPartition, int]:
        """Records not yet fetched, by partition, from end offsets and positions (hazard 18).

        The embedded broker's end offset is that of the last batch's first record plus one, so it is taken together
        with the high watermark of the last fetch; it is never too large, and a lag that is reported is real.
        """
        consumer = self.consumer
        if consumer is None:
            return {}
        assignment = consumer.assignment()
        ends = await consumer.end_offsets(list(assignment))
        return {
            partition: max(
                0, max(ends[partition], consumer.highwater(partition) or 0) - await consumer.position(partition)
            )
            for partition in assignment
        }

    async def unready(self) -> str | None:
        """Why the service is not ready, for the health page."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return f"consumer group {self.group} has not started"
        if not consumer.assignment():
            return f"consumer group {self.group} has no partitions assigned"
        return None

    def note(self, records: Sequence[Record], news: Collection[int]) -> None:
        """Told by the processor what came, and by their `id()` which records had an effect."""
        for record in records:
            change = (
                -_NEWS_WEIGHS if id(record) in news else int(any(name == REFILLED_HEADER for name, _ in record.headers))
            )
            if change:
                partition = TopicPartition(record.topic, record.partition)
                self._refilled[partition] = min(
                    max(self._refilled.get(partition, 0) + change, 0), 2 * _REFILLED_RECORDS
                )

    def brings_news(self, partition: TopicPartition) -> bool:
        """False while a partition is being refilled with what is known here, and so is what is still to come of it.

        A refill comes newest first, so what was not known is over by then.
        """
        return self._refilled.get(partition, 0) < _REFILLED_RECORDS

    def stop(self) -> None:
        """Lets a batch that waits for a retry give up; it will be delivered again."""
        self.stopping.set()


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    def __init__(self, consumer: RecordConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._consumer.give_commit_up()
        if revoked:
            await failpoint("consumer.during-rebalance")

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        return None


async def _drain(consumer: AIOKafkaConsumer, limit: int) -> list[Record]:
    """What was fetched already, without waiting; the record in hand must not be lost over an error here.

    Left to itself aiokafka hands a partition's whole fetch over before it turns to the next. While there is a backlog
    each partition therefore has a share of the batch: what has just come to one does not wait behind another.
    """
    half = max(limit // 2, 1)
    drained = await _fetched(consumer, half)
    if len(drained) < half:
        return drained
    partitions = consumer.assignment()
    share = max((limit - half) // max(len(partitions), 1), 1)
    for partition in partitions:
        if len(drained) < limit:
            drained += await _fetched(consumer, min(share, limit - len(drained)), partition)
    return drained + (await _fetched(consumer, limit - len(drained)) if len(drained) < limit else [])


async def _fetched(consumer: AIOKafkaConsumer, limit: int, *partitions: TopicPartition) -> list[Record]:
    try:
        more = await consumer.getmany(*partitions, timeout_ms=0, max_records=limit)
    except KafkaError as error:
        log.warning("consumer.drain_failed", error=type(error).__name__)
        return []
    return [item for items in more.values() for item in items]


async def _parse(record: Record) -> KafkaMessage:
    return KafkaMessage(body=b"", headers={}, message_id="", raw_message=record, consumer=FAKE_CONSUMER)


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message
