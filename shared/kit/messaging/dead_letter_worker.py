"""The service's own part in dead letters: it replays those that people ask for, and counts those that wait.

A replay does not go through Kafka. Other groups would get the record too, audit would record it again, and a broker
that lost its memory could not be asked. The letter's row is the job: its effect and its new state are one transaction.
"""

from __future__ import annotations

import asyncio
import time

from prometheus_client import Gauge

from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import Stopping
from shared.kit.messaging.dead_letter_store import drops_to_log, finish, read_letter, unsettled, waiting
from shared.kit.messaging.errors import Kind, kind_of, reason_of
from shared.kit.messaging.events import EventProcessor
from shared.schemas.registry import MalformedEvent

log = get_logger(__name__)

LOOK_SECONDS = 2.0  # an index look-up of nothing, most of the time
COUNT_SECONDS = 15.0  # as often as Prometheus usually asks
_PAGE = 100

letters_parked = Gauge("readmit_dead_letters_parked", "Dead letters that nobody settled yet.", ["group", "topic"])
oldest_seconds = Gauge("readmit_dead_letters_oldest_seconds", "Age of the oldest unsettled dead letter.", ["group"])


class DeadLetterWorker:
    """A component that serves one consumer group's dead letters."""

    def __init__(
        self,
        processor: EventProcessor,
        database: Database,
        *,
        look_seconds: float = LOOK_SECONDS,
        count_seconds: float = COUNT_SECONDS,
    ) -> None:
        self._processor = processor
        self._database = database
        self._look_seconds = look_seconds
        self._count_seconds = count_seconds
        self._topics: set[str] = set()
        self._oldest: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        oldest_seconds.labels(processor.group).set_function(self._age)

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._work(), name=f"dead letters {self._processor.group}"),
            asyncio.create_task(self._count(), name=f"dead letter gauges {self._processor.group}"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            try:
                while await self.replay_waiting():
                    pass
                await self._log_drops()
            except Stopping:
                return
            except Exception as error:  # what may pass: they wait in their table
                log.warning("dead_letter.replay_waits", group=self._processor.group, error=type(error).__name__)
            await asyncio.sleep(self._look_seconds)

    async def replay_waiting(self) -> int:
        """Replays a page of what was asked for, one by one, and returns how many those were."""
        async with self._database.read() as connection:
            letters = await waiting(connection, self._processor.group, _PAGE)
        for letter_id in letters:
            await self._replay(letter_id)
        return len(letters)

    async def _log_drops(self) -> None:
        async with self._database.begin() as unit:
            drops = await drops_to_log(unit.connection, self._processor.group)
        for letter_id, by in drops:
            log.info("dead_letter.dropped", letter=letter_id, group=self._processor.group, by=by)

    async def _replay(self, letter_id: int) -> None:
        async with self._database.read() as connection:
            found = await read_letter(connection, letter_id)
        if found is None:
            return
        letter, record, _ = found
        settled_for: list[str] = []

        async def settle(unit: UnitOfWork) -> bool:
            settled_for.clear()
            by = await finish(unit.connection, letter_id)  # locks the row: another replica's settle finds it settled
            settled_for.extend([by] if by is not None else [])
            return by is not None

        about = {"letter": letter_id, "group": letter.consumer_group, "topic": letter.topic}
        about |= {"partition": letter.partition, "offset": letter.offset}
        error = await self._processor.reprocess(record, settle)
        if error is None:
            if settled_for:
                log.info("dead_letter.replayed", **about, by=settled_for[0])
            return
        malformed = record.value is None or isinstance(error, MalformedEvent)
        kind = Kind.MALFORMED if malformed else kind_of(error)
        async with self._database.begin() as unit:
            by = await finish(unit.connection, letter_id, kind=kind.value, reason=reason_of(error))
        if by is not None:
            log.error("dead_letter.replay_failed", **about, by=by, reason=reason_of(error))

    async def _count(self) -> None:
        while True:
            try:
                await self.count()
            except Exception as error:
                log.warning("dead_letter.not_counted", error=type(error).__name__)
            await asyncio.sleep(self._count_seconds)

    async def count(self) -> None:
        """Brings the gauges up to date."""
        group = self._processor.group
        async with self._database.read() as connection:
            rows = [row for row in await unsettled(connection) if row[0] == group]
        for topic in self._topics - {topic for _, topic, _, _ in rows}:
            letters_parked.labels(group, topic).set(0)
        for _, topic, letters, _ in rows:
            letters_parked.labels(group, topic).set(letters)
            self._topics.add(topic)
        self._oldest = min((oldest.timestamp() for _, _, _, oldest in rows), default=None)

    def _age(self) -> float:
        return 0.0 if self._oldest is None else max(0.0, time.time() - self._oldest)
