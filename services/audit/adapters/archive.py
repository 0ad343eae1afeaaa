"""The log in PostgreSQL, for its readers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Row, text

from services.audit.adapters.nodes import load_nodes
from services.audit.adapters.search import conditions
from services.audit.domain.merkle import Node
from services.audit.domain.persons import KeyedHashes
from services.audit.domain.query import Term
from services.audit.domain.sealing import KeyWrapper
from services.audit.ports import StoredRecord
from shared.kit.db.unit import Database, UnitOfWork
from shared.schemas.envelope import Event

_CHECKPOINT = text("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1")
_BY_REFERENCE = text(
    "SELECT index AS place, leaf_hash, entry FROM entries WHERE reference_id = :reference ORDER BY index"
)
_BY_INDEX = text("SELECT index AS place, leaf_hash, entry FROM entries WHERE index = :index")
_KEYS = text("SELECT subject_id, wrapped FROM subject_keys WHERE subject_id = ANY(CAST(:ids AS text[]))")
_BESIDE = text("SELECT hash, content FROM payloads WHERE hash = ANY(CAST(:hashes AS bytea[]))")


class PostgresArchive:
    """Begins the readers' transactions."""

    def __init__(self, database: Database, wrapper: KeyWrapper, hashes: KeyedHashes) -> None:
        self._database = database
        self._wrapper = wrapper
        self._hashes = hashes

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[PostgresReading]:
        async with self._database.begin() as unit:
            yield PostgresReading(unit, self._wrapper, self._hashes)


class PostgresReading:
    """One transaction of a reader."""

    def __init__(self, unit: UnitOfWork, wrapper: KeyWrapper, hashes: KeyedHashes) -> None:
        self._unit = unit
        self._connection = unit.connection
        self._wrapper = wrapper
        self._hashes = hashes

    async def size(self) -> int:
        current = await self.checkpoint()
        return current[0] if current is not None else 0

    async def checkpoint(self) -> tuple[int, str] | None:
        row = (await self._connection.execute(_CHECKPOINT)).one_or_none()
        return (row.size, row.note) if row is not None else None

    async def search(self, terms: Sequence[Term], *, start: int, end: int, limit: int) -> list[StoredRecord]:
        where, parameters = conditions(terms, self._hashes)
        # The text is built of our own column names; every value is bound.
        statement = text(
            f"SELECT index AS place, leaf_hash, entry FROM entries WHERE index >= :start AND index < :end{where}"  # noqa: S608
            " ORDER BY index LIMIT :limit"
        )
        rows = await self._connection.execute(statement, {**parameters, "start": start, "end": end, "limit": limit})
        return [_stored(row) for row in rows]

    async def by_reference(self, reference_id: str) -> list[StoredRecord]:
        rows = await self._connection.execute(_BY_REFERENCE, {"reference": reference_id})
        return [_stored(row) for row in rows]

    async def by_index(self, index: int) -> StoredRecord | None:
        row = (await self._connection.execute(_BY_INDEX, {"index": index})).one_or_none()
        return _stored(row) if row is not None else None

    async def subject_keys(self, subject_ids: Collection[str]) -> dict[str, bytes]:
        if not subject_ids:
            return {}
        rows = await self._connection.execute(_KEYS, {"ids": list(subject_ids)})
        return {row.subject_id: self._wrapper.unwrap(bytes(row.wrapped), row.subject_id) for row in rows}

    async def beside(self, hashes: Collection[bytes]) -> dict[bytes, bytes]:
        if not hashes:
            return {}
        rows = await self._connection.execute(_BESIDE, {"hashes": list(hashes)})
        return {bytes(row.hash): bytes(row.content) for row in rows}

    async def nodes(self, nodes: Collection[Node]) -> dict[Node, bytes]:
        return await load_nodes(self._connection, nodes)

    def publish(self, event: Event[Any], *, key: str) -> None:
        self._unit.publish(event, key=key)


def _stored(row: Row[Any]) -> StoredRecord:
    return StoredRecord(row.place, bytes(row.leaf_hash), bytes(row.entry))
