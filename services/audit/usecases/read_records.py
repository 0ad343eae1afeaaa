"""Reading the log; that it was read is itself recorded, once for each answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.audit.domain.cursor import Cursor, Cursors
from services.audit.domain.messages import SOURCE
from services.audit.domain.query import parse_query
from services.audit.domain.records import Opened
from services.audit.ports import Archive, Reading, StoredRecord
from shared.kit.clock import Clock, utc_now, uuid7
from shared.schemas.audit import AuditQueried, AuditQueriedData

DEFAULT_LIMIT, LARGEST_LIMIT = 100, 1000


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and by which call (a route without what was filled in)."""

    actor: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, oldest first. `next` leads on, None at the end of the log as it was when the search began."""

    records: list[Opened]
    next: str | None
    tree_size: int


class ReadRecords:
    """Searches, stories and single records."""

    def __init__(
        self, archive: Archive, cursors: Cursors, clock: Clock = utc_now, new_id: Callable[[], str] = uuid7
    ) -> None:
        self._archive = archive
        self._cursors = cursors
        self._clock = clock
        self._new_id = new_id

    async def search(
        self, query: str, reader: Reader, *, limit: int = DEFAULT_LIMIT, cursor: str | None = None
    ) -> Page:
        """One page of the records for which every term holds.

        Raises:
            InvalidQuery, InvalidCursor: nothing was read.
        """
        terms = parse_query(query)
        place = self._cursors.open(cursor, query) if cursor is not None else None
        async with self._archive.reading() as reading:
            if place is None:
                place = Cursor(0, await reading.size())
            found = await reading.search(terms, start=place.start, end=place.size, limit=limit + 1)
            records = await self._open(reading, found[:limit])
            self._record(reading, reader, query, len(records))
        more = Cursor(found[limit].index, place.size) if len(found) > limit else None
        return Page(records, self._cursors.seal(more, query) if more is not None else None, place.size)

    async def story(self, reference_id: str, reader: Reader) -> list[Opened]:
        """Every record of one reference, as it happened; none for a reference that no record has.

        Topics overtake one another on their way into the log, so that its order is not quite that of the events.
        """
        async with self._archive.reading() as reading:
            records = await self._open(reading, await reading.by_reference(reference_id))
            # In the query and not as the event's own reference: reading a story must not lengthen it.
            self._record(reading, reader, f"ref:{reference_id}", len(records))
        return sorted(records, key=lambda record: (record.entry["occurred_at"], record.index))

    async def one(self, index: int, reader: Reader) -> Opened | None:
        """A single record, or None."""
        async with self._archive.reading() as reading:
            stored = await reading.by_index(index)
            records = await self._open(reading, [stored] if stored is not None else [])
            self._record(reading, reader, f"index {index}", len(records))
        return records[0] if records else None

    async def _open(self, reading: Reading, stored: Sequence[StoredRecord]) -> list[Opened]:
        records = [Opened(record.index, record.leaf_hash, record.entry) for record in stored]
        keys = await reading.subject_keys({key_id for record in records for key_id in record.key_ids})
        beside = await reading.beside({record.beside for record in records if record.beside is not None})
        for record in records:
            record.open(keys, beside)
        return records

    def _record(self, reading: Reading, reader: Reader, query: str, count: int) -> None:
        data = AuditQueriedData(actor=reader.actor, endpoint=reader.endpoint, query=query or None, count=count)
        event = AuditQueried(id=self._new_id(), source=SOURCE, time=self._clock(), data=data)
        reading.publish(event, key=reader.actor)
