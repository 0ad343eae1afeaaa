"""From records to handlers: decode, deduplicate, dispatch, retry, park.

A batch is one transaction; what can't be decoded is parked in it. When it fails for good it is halved, again and again,
so that a poison message is parked alone and its neighbours have their effect.

The brake. What fails for every record is no record's fault, and must not empty the topics into the dead letters. So
when more than `dead_letters_in_a_row` well-formed records have failed one after another and none has had its effect
between them, the processor stops parking. It holds on to them, looks further ahead (it holds at most a batch), and
tries all of them again and again, with pauses. As soon as any record has its effect, not everything fails: what then
still does not go through is parked again. Malformed records never brake and never release: they are their sender's
fault, and whoever floods with them must not hold up the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from prometheus_client import Counter, Gauge

from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.failpoints import failpoint
from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import MAX_RECORDS, Record, Stopping
from shared.kit.messaging.dead_letters import DeadLetter, park
from shared.kit.messaging.errors import Disposition, Kind, PoisonMessage, classify, kind_of, reason_of
from shared.kit.messaging.tracing import trace
from shared.schemas.envelope import Event, UnknownEvent
from shared.schemas.registry import MalformedEvent, decode

log = get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 15.0  # seconds
ATTEMPTS_AT_A_BUG = 3  # a bug may be a race; it gets this many tries before the dead letters
DEAD_LETTERS_IN_A_ROW = 5

duplicate_events = Counter(
    "readmit_consumer_duplicates_total", "Events that came again after they had had their effect.", ["group"]
)
dead_letters_total = Counter("readmit_dead_letters_total", "Records parked.", ["group", "topic", "reason"])
braked = Gauge("readmit_consumer_braked", "1 while everything fails, and nothing is parked for it.", ["group"])

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
        *,
        dead_letters_in_a_row: int = DEAD_LETTERS_IN_A_ROW,
    ) -> None:
        """
        Args:
            dead_letters_in_a_row: how many well-formed records may be parked one after another before the brake;
                0 is no brake.
        """
        self.group = group
        self.stopping = stopping or asyncio.Event()
        self.look_ahead: Callable[[int], Awaitable[Sequence[Record]]] | None = None  # at most so many more records
        self.note: Callable[[Sequence[Record], Collection[int]], None] | None = None  # `RecordConsumer.note`
        self.dead_letters_in_a_row = dead_letters_in_a_row
        self._database = database
        self._handlers = handlers
        self._pauses = pauses or Pauses()
        self._failed_in_a_row = 0  # well-formed records since one had its effect
        self._braked_by: Exception | None = None

    async def __call__(self, records: Sequence[Record]) -> None:
        held = await self._process(records)
        tries = 0
        while held:
            await self._pause(self._pauses.after(tries))
            tries += 1
            held = await self._process([*held, *await self._more(MAX_RECORDS - len(held))])
            if self._braked_by is None:
                # Some failed before the one that had its effect: once more, since the cause may be gone by now.
                held = await self._process(held, may_brake=False)

    async def braked(self) -> str | None:
        """Why the service is not ready, for the health page."""
        if self._braked_by is None:
            return None
        error = type(self._braked_by).__name__
        return f"consumer group {self.group} is braked: every record fails ({error}), and none is parked for it"

    async def reprocess(self, record: Record, settle: Callable[[UnitOfWork], Awaitable[bool]]) -> Exception | None:
        """Gives a parked record its effect, and returns the error for which it has none.

        Args:
            settle: called in the transaction of the effect; False when there is nothing to settle any more.

        Raises: what may pass, such as a lost connection.
        """
        for attempt in range(ATTEMPTS_AT_A_BUG):
            try:
                event = self._decode(record)
                async with self._database.begin() as unit:
                    if await settle(unit) and event is not None:
                        await self._handlers.dispatch(await unit.first_times([event]), unit)
            except Exception as error:
                disposition = classify(error)
                if disposition is Disposition.RETRY:
                    raise
                if disposition is Disposition.IGNORE:
                    async with self._database.begin() as unit:
                        await settle(unit)
                    return None
                if disposition is Disposition.PARK or attempt == ATTEMPTS_AT_A_BUG - 1:
                    return error
                await self._pause(self._pauses.after(attempt))
            else:
                return None
        raise AssertionError("unreachable")

    async def _process(self, records: Sequence[Record], *, may_brake: bool = True) -> list[Record]:
        """Settles the records, and returns those that failed behind the brake."""
        if not records:
            return []
        error = await self._until_settled(records, told_of=not may_brake)
        if error is None:
            return []
        if len(records) > 1:
            middle = len(records) // 2
            halves = records[:middle], records[middle:]
            return [record for half in halves for record in await self._process(half, may_brake=may_brake)]
        self._failed_in_a_row += 1
        if may_brake and 0 < self.dead_letters_in_a_row < self._failed_in_a_row:
            self._brake(error)
            return list(records)
        await self._park(DeadLetter(records[0], kind_of(error), reason_of(error)))
        return []

    async def _until_settled(self, records: Sequence[Record], *, told_of: bool) -> Exception | None:
        """Tries until the records have had their effect, or returns the error for which they never will."""
        attempt = bugs = 0
        while True:
            try:
                had_effect = await self._apply(records)
            except Exception as error:
                disposition = classify(error)
                if disposition is Disposition.IGNORE:
                    # One event's effect is there already; the others of the batch were rolled back with it.
                    return None if len(records) == 1 else error
                if disposition is Disposition.PARK:
                    return error
                if disposition is Disposition.STOP:
                    if told_of or self._braked_by is not None:
                        return error  # tried often enough
                    bugs += 1
                    log.error("consumer.handler_failed", group=self.group, attempt=bugs, exc_info=error)
                    if bugs >= ATTEMPTS_AT_A_BUG or len(records) > 1:
                        return error
                log.warning("consumer.retrying", group=self.group, error=type(error).__name__, attempt=attempt)
                await self._pause(self._pauses.after(attempt))
                attempt += 1
            else:
                if had_effect:
                    self._release()
                return None

    def _brake(self, error: Exception) -> None:
        if self._braked_by is None:
            braked.labels(self.group).set(1)
            log.error("consumer.braked", group=self.group, failed_in_a_row=self._failed_in_a_row, exc_info=error)
        self._braked_by = error

    def _release(self) -> None:
        self._failed_in_a_row = 0
        if self._braked_by is not None:
            braked.labels(self.group).set(0)
            log.warning("consumer.brake_released", group=self.group)
        self._braked_by = None

    async def _more(self, limit: int) -> Sequence[Record]:
        return await self.look_ahead(limit) if self.look_ahead is not None and limit > 0 else []

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):  # `wait_for` may swallow a cancellation on 3.11
                await self.stopping.wait()
        except TimeoutError:
            return
        raise Stopping

    async def _apply(self, records: Sequence[Record]) -> bool:
        """One transaction: the effect of what is new to us, and the dead letters. Whether there was an effect."""
        events: list[Event[Any]] = []
        letters: list[DeadLetter] = []
        record_of: dict[int, int] = {}
        for record in records:
            try:
                event = self._decode(record)
            except (PoisonMessage, MalformedEvent) as error:
                letters.append(DeadLetter(record, Kind.MALFORMED, reason_of(error)))
            else:
                if event is not None:
                    events.append(event)
                    record_of[id(event)] = id(record)
        if not events and not letters:
            self._note(records, ())
            return False
        async with self._database.begin() as unit:
            new = await unit.first_times(events) if events else []
            await self._handlers.dispatch(new, unit)
            await failpoint("consumer.mid-transaction")
            if letters:
                await park(unit, letters, group=self.group)
        duplicate_events.labels(self.group).inc(len(events) - len(new))
        self._note(records, {record_of[id(event)] for event in new})
        self._tell(letters)
        return bool(new)

    def _note(self, records: Sequence[Record], news: Collection[int]) -> None:
        if self.note is not None:
            self.note(records, news)

    def _decode(self, record: Record) -> Event[Any] | None:
        """The record's event, or None when it is none of ours to handle."""
        if record.value is None:
            raise PoisonMessage("the record has no value")
        event = decode(record.value)
        if isinstance(event, UnknownEvent) or event.type not in self._handlers:
            return None
        return event

    async def _park(self, letter: DeadLetter) -> None:
        attempt = 0
        while True:
            try:
                async with self._database.begin() as unit:
                    await park(unit, [letter], group=self.group)
            except Exception as failure:
                log.warning("consumer.cannot_park", group=self.group, error=type(failure).__name__)
                await self._pause(self._pauses.after(attempt))
                attempt += 1
            else:
                self._tell([letter])
                return

    def _tell(self, letters: Sequence[DeadLetter]) -> None:
        for letter in letters:
            record = letter.record
            dead_letters_total.labels(self.group, record.topic, letter.kind.value).inc()
            log.error(
                "consumer.record_parked",
                group=self.group,
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                reason=letter.reason,
            )
