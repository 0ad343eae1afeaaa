"""From records to handlers: decode, deduplicate, dispatch, retry, park.

A batch is one transaction. When it fails for good, its records are processed one by one, so that a poison message is
parked alone and its neighbours have their effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from prometheus_client import Counter

from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.failpoints import failpoint
from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import Record, Stopping
from shared.kit.messaging.dead_letters import park
from shared.kit.messaging.errors import Disposition, PoisonMessage, classify
from shared.kit.messaging.tracing import trace
from shared.schemas.envelope import Event, UnknownEvent
from shared.schemas.registry import MalformedEvent, decode

log = get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0  # seconds
ATTEMPTS_AT_A_BUG = 3  # a bug may be a race; it gets this many tries before the dead letters

parked_records = Counter(
    "readmit_consumer_records_parked_total", "Records sent to the dead letters.", ["group", "topic"]
)

OnEvent = Callable[[Any, UnitOfWork], Awaitable[None]]
OnEvents = Callable[[Sequence[Any], UnitOfWork], Awaitable[None]]


class Handlers:
    """Which function handles which event type. A bulk handler gets all of a batch's events of its types at once."""

    def __init__(self) -> None:
        self._each: dict[str, OnEvent] = {}
        self._bulk: dict[str, OnEvents] = {}

    def on(self, *events: type[Event[Any]]) -> Callable[[OnEvent], OnEvent]:
        def register(handler: OnEvent) -> OnEvent:
            for event in events:
                self._each[event.type_name()] = handler
            return handler

        return register

    def on_many(self, *events: type[Event[Any]]) -> Callable[[OnEvents], OnEvents]:
        def register(handler: OnEvents) -> OnEvents:
            for event in events:
                self._bulk[event.type_name()] = handler
            return handler

        return register

    def __contains__(self, type_: str) -> bool:
        return type_ in self._each or type_ in self._bulk

    async def dispatch(self, events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        for bulk, run in groupby(events, key=lambda event: self._bulk.get(event.type)):
            if bulk is not None:
                await bulk(list(run), unit)
                continue
            for event in run:
                with trace(event.traceparent):
                    await self._each[event.type](event, unit)


@dataclass(frozen=True, slots=True)
class Pauses:
    """How retries are spaced: doubling from the first, up to the longest."""

    first: float = FIRST_PAUSE
    longest: float = LONGEST_PAUSE

    def after(self, attempt: int) -> float:
        return float(min(self.first * 2 ** min(attempt, 16), self.longest))


class EventProcessor:
    """A `RecordProcessor` that gives each event its effect once."""

    def __init__(
        self,
        group: str,
        database: Database,
        handlers: Handlers,
        stopping: asyncio.Event | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self.group = group
        self.stopping = stopping or asyncio.Event()
        self._database = database
        self._handlers = handlers
        self._pauses = pauses or Pauses()
        self._bugs_in_a_row = 0  # records parked for an unforeseen error since one had its effect

    async def __call__(self, records: Sequence[Record]) -> None:
        error = await self._until_settled(records)
        if error is None:
            self._bugs_in_a_row = 0
            return
        if len(records) > 1:
            for record in records:
                await self([record])
            return
        if classify(error) is Disposition.STOP:
            # A brake: what fails for every record is a bad deployment, and must not empty the topics into dead letters.
            await self._pause(self._pauses.after(self._bugs_in_a_row))
            self._bugs_in_a_row += 1
        await self._park(records[0], error)

    async def _until_settled(self, records: Sequence[Record]) -> Exception | None:
        """Tries until the records have had their effect, or returns the error for which they never will."""
        attempt = bugs = 0
        while True:
            try:
                await self._apply(records)
            except Exception as error:
                disposition = classify(error)
                if disposition is Disposition.IGNORE:
                    # One event's effect is there already; the others of the batch were rolled back with it.
                    return None if len(records) == 1 else error
                if disposition is Disposition.PARK:
                    return error
                if disposition is Disposition.STOP:
                    bugs += 1
                    log.error("consumer.handler_failed", group=self.group, attempt=bugs, exc_info=error)
                    if bugs >= ATTEMPTS_AT_A_BUG or len(records) > 1:
                        return error
                log.warning("consumer.retrying", group=self.group, error=type(error).__name__, attempt=attempt)
                await self._pause(self._pauses.after(attempt))
                attempt += 1
            else:
                return None

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):  # `wait_for` may swallow a cancellation on 3.11
                await self.stopping.wait()
        except TimeoutError:
            return
        raise Stopping

    async def _apply(self, records: Sequence[Record]) -> None:
        events = [event for record in records if (event := self._decode(record)) is not None]
        if not events:
            return
        async with self._database.begin() as unit:
            await self._handlers.dispatch(await unit.first_times(events), unit)
            await failpoint("consumer.mid-transaction")

    def _decode(self, record: Record) -> Event[Any] | None:
        """The record's event, or None when it is none of ours to handle."""
        if record.value is None:
            raise PoisonMessage("the record has no value")
        event = decode(record.value)
        if isinstance(event, UnknownEvent) or event.type not in self._handlers:
            return None
        return event

    async def _park(self, record: Record, error: Exception) -> None:
        reason = (
            f"{type(error).__name__}: {error}"
            if isinstance(error, PoisonMessage | MalformedEvent)
            else type(error).__name__
        )
        attempt = 0
        while True:
            try:
                async with self._database.begin() as unit:
                    park(unit, record, group=self.group, reason=reason)
            except Exception as failure:
                log.warning("consumer.cannot_park", group=self.group, error=type(failure).__name__)
                await self._pause(self._pauses.after(attempt))
                attempt += 1
            else:
                parked_records.labels(self.group, record.topic).inc()
                log.error(
                    "consumer.record_parked",
                    group=self.group,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    reason=reason,
                )
                return
