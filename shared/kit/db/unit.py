"""The unit of work: inbox mark, state, ledger and outbox in one PostgreSQL transaction.

It is the only place that commits. What is published is staged and written at the end, so that a use case can publish
before or after it changes state, and nothing is published by a transaction that rolls back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from faststream_outbox import OutboxBroker
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.kit.db.tables import RELAY_QUEUE
from shared.kit.failpoints import failpoint
from shared.kit.messaging.tracing import current_traceparent
from shared.schemas.envelope import Event
from shared.schemas.topics import topic_of

_MARK_INBOX = text("""
    INSERT INTO inbox (source, event_id)
    SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]))
    ON CONFLICT DO NOTHING RETURNING source, event_id
""")

_APPEND_LEDGER = text("""
    INSERT INTO ledger (source, event_id, type, subject, topic, key, value, headers, time)
    SELECT * FROM unnest(
        CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:types AS text[]), CAST(:subjects AS text[]),
        CAST(:topics AS text[]), CAST(:keys AS text[]), CAST(:values AS bytea[]), CAST(:headers AS jsonb[]),
        CAST(:times AS timestamptz[])
    ) ON CONFLICT (source, event_id) DO NOTHING RETURNING id
""")


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for the relay: what the ledger keeps and Kafka gets."""

    source: str
    event_id: str
    type: str
    subject: str | None
    topic: str
    key: str
    value: bytes
    time: datetime
    headers: str = "{}"

    @classmethod
    def of(cls, event: Event[Any], key: str) -> Publication:
        return cls(
            source=event.source,
            event_id=event.id,
            type=event.type,
            subject=event.subject,
            topic=topic_of(event.type),
            key=key,
            value=event.to_bytes(),
            time=event.time,
        )


class UnitOfWork:
    """One transaction. Repositories use `connection`; they never commit."""

    def __init__(self, connection: AsyncConnection, outbox: OutboxBroker) -> None:
        self.connection = connection
        self._outbox = outbox
        self._publications: list[Publication] = []
        self._jobs: list[tuple[str, Mapping[str, Any], datetime | None]] = []
        self._relays: list[int] = []

    async def first_time(self, event: Event[Any]) -> bool:
        """Marks the event as consumed; False when it was consumed before (it then must have no further effect)."""
        return bool(await self.first_times([event]))

    async def first_times(self, events: Sequence[Event[Any]]) -> list[Event[Any]]:
        """Marks events as consumed, in one statement; returns those that had not been, each once, in order."""
        rows = await self.connection.execute(
            _MARK_INBOX, {"sources": [event.source for event in events], "ids": [event.id for event in events]}
        )
        new = {(row.source, row.event_id) for row in rows}
        first = []
        for event in events:
            if event.dedupe_key in new:
                new.remove(event.dedupe_key)
                first.append(event)
        return first

    def publish(self, event: Event[Any], *, key: str) -> None:
        """Stages an event. `key` is its Kafka key: an opaque id or a keyed hash, never an address."""
        traceparent = event.traceparent or current_traceparent()
        if traceparent and event.traceparent is None:
            event = event.model_copy(update={"traceparent": traceparent})
        self._publications.append(Publication.of(event, key))

    def publish_raw(self, publication: Publication) -> None:
        """Stages a message as it is, whose bytes may be anything."""
        self._publications.append(publication)

    def relay(self, ids: Sequence[int]) -> None:
        """Stages ledger rows for the relay, apart from the events: if one can't be sent, no event is sent again."""
        self._relays.extend(ids)

    def enqueue(self, queue: str, job: Mapping[str, Any], *, not_before: datetime | None = None) -> None:
        """Stages a job for this service's own worker of `queue`. Jobs hold ids only, never secrets."""
        self._jobs.append((queue, job, not_before))

    async def flush(self) -> int:
        """Writes what was staged; returns how many publications were new to the ledger."""
        publications, self._publications = self._publications, []
        jobs, self._jobs = self._jobs, []
        relays, self._relays = self._relays, []
        ids = await append_ledger(self.connection, publications)
        for rows in (ids, relays):
            for start in range(0, len(rows), 500):  # an outbox row is one relay batch
                await self._outbox.publish(
                    {"ids": rows[start : start + 500]},
                    queue=RELAY_QUEUE,
                    session=self.connection,
                    headers=_trace_headers(),
                )
        for queue, job, not_before in jobs:
            await self._outbox.publish(
                dict(job),
                queue=queue,
                session=self.connection,
                activate_at=not_before,
                headers=_trace_headers(),
            )
        return len(ids)


async def append_ledger(connection: AsyncConnection, publications: Sequence[Publication]) -> list[int]:
    """Appends messages to the ledger; returns the ids of those that it did not hold yet."""
    if not publications:
        return []
    rows = await connection.execute(
        _APPEND_LEDGER,
        {
            "sources": [item.source for item in publications],
            "ids": [item.event_id for item in publications],
            "types": [item.type for item in publications],
            "subjects": [item.subject for item in publications],
            "topics": [item.topic for item in publications],
            "keys": [item.key for item in publications],
            "values": [item.value for item in publications],
            "headers": [item.headers for item in publications],
            "times": [item.time.astimezone(UTC) for item in publications],
        },
    )
    return [row.id for row in rows]


def _trace_headers() -> dict[str, str] | None:
    traceparent = current_traceparent()
    return {"traceparent": traceparent} if traceparent else None


class Database:
    """A service's database: where units of work begin."""

    def __init__(self, engine: AsyncEngine, outbox: OutboxBroker) -> None:
        self.engine = engine
        self._outbox = outbox

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[UnitOfWork]:
        """One transaction: committed when the block ends, rolled back when it raises."""
        async with self.engine.begin() as connection:
            unit = UnitOfWork(connection, self._outbox)
            yield unit
            await unit.flush()
            await failpoint("unit.before-commit")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; nothing that it writes is kept."""
        async with self.engine.connect() as connection:
            yield connection
