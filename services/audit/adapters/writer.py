"""The log in PostgreSQL, for its writer."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.audit.adapters.nodes import load_nodes
from services.audit.domain.entries import Link
from services.audit.domain.merkle import Frontier, cover
from services.audit.domain.persons import Person
from services.audit.domain.sealing import KEY_BYTES, KeyWrapper
from services.audit.ports import Addition, EventKey, Position, SubjectKey
from shared.kit.db.unit import Database
from shared.kit.failpoints import failpoint

PARTITION_SIZE = 1_000_000  # records; the same number is in the function `ensure_partition`

# One writer a log: a second process waits here, and finds the tree as the first one left it.
_LOCK = text("SELECT pg_advisory_xact_lock(7330412010)")
_HEAD = text("SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1")
_RECORDED = text("""
    SELECT source, event_id, message_hash, index AS place FROM event_keys
    WHERE (source, event_id) IN (SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])))
""")
_CHAIN_ENDS = text("""
    SELECT wanted.id, last.reference_index, last.leaf_hash
    FROM unnest(CAST(:references AS text[])) AS wanted (id) CROSS JOIN LATERAL (
        SELECT reference_index, leaf_hash FROM entries WHERE reference_id = wanted.id ORDER BY index DESC LIMIT 1
    ) AS last
""")
_PERSONS = text("""
    SELECT persons.kind, persons.hash, persons.subject_id, subject_keys.wrapped
    FROM unnest(CAST(:kinds AS text[]), CAST(:hashes AS text[])) AS wanted (kind, hash)
    JOIN persons ON (persons.kind, persons.hash) = (wanted.kind, wanted.hash)
    JOIN subject_keys ON subject_keys.subject_id = persons.subject_id
""")
_ADD_PERSONS = text("""
    WITH added AS (
        INSERT INTO subject_keys (subject_id, wrapped)
        SELECT * FROM unnest(CAST(:subjects AS text[]), CAST(:wrapped AS bytea[]))
    )
    INSERT INTO persons (kind, hash, subject_id)
    SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:hashes AS text[]), CAST(:subjects AS text[]))
    ON CONFLICT (kind, hash) DO UPDATE SET subject_id = excluded.subject_id
""")
_POSITIONS = text("""
    SELECT topic, partition, incarnation, next_offset, last_timestamp FROM positions
    WHERE (topic, partition) IN (SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[])))
""")
_SET_POSITIONS = text("""
    INSERT INTO positions (topic, partition, incarnation, next_offset, last_timestamp)
    SELECT * FROM unnest(CAST(:topics AS text[]), CAST(:partitions AS int[]), CAST(:incarnations AS int[]),
                         CAST(:offsets AS bigint[]), CAST(:timestamps AS bigint[]))
    ON CONFLICT (topic, partition) DO UPDATE SET incarnation = excluded.incarnation,
        next_offset = excluded.next_offset, last_timestamp = excluded.last_timestamp
""")
_COLUMNS = {
    "index": "bigint",
    "leaf_hash": "bytea",
    "entry": "bytea",
    "type": "text",
    "service": "text",
    "reference_id": "text",
    "reference_index": "int",
    "actor": "text",
    "subject": "text",
    "outcome": "text",
    "reason": "text",
    "occurred_at": "timestamptz",
    "topic": "text",
    "partition": "int",
    "offset": "bigint",
    "incarnation": "int",
}
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_ARRAYS = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _COLUMNS.items())
_INSERT_ENTRIES = text(f"INSERT INTO entries ({_NAMES}) SELECT * FROM unnest({_ARRAYS})")  # noqa: S608
_INSERT_KEYS = text("""
    INSERT INTO event_keys (source, event_id, message_hash, index)
    SELECT * FROM unnest(CAST(:source AS text[]), CAST(:event_id AS text[]), CAST(:message_hash AS bytea[]),
                         CAST(:index AS bigint[]))
""")
_INSERT_NODES = text("""
    INSERT INTO nodes (level, index, hash)
    SELECT * FROM unnest(CAST(:levels AS smallint[]), CAST(:indexes AS bigint[]), CAST(:hashes AS bytea[]))
""")
_INSERT_PAYLOADS = text("""
    INSERT INTO payloads (hash, content)
    SELECT * FROM unnest(CAST(:hashes AS bytea[]), CAST(:contents AS bytea[])) ON CONFLICT DO NOTHING
""")
_INSERT_LOOKUPS = text("""
    INSERT INTO lookups (kind, hash, index)
    SELECT * FROM unnest(CAST(:kinds AS text[]), CAST(:hashes AS text[]), CAST(:indexes AS bigint[]))
""")
_INSERT_OWNERS = text("""
    INSERT INTO address_owners (address_hash, account_hash)
    SELECT * FROM unnest(CAST(:addresses AS text[]), CAST(:accounts AS text[])) ON CONFLICT DO NOTHING
""")
_INSERT_CHECKPOINT = text(
    "INSERT INTO checkpoints (size, root, note, signed_at) VALUES (:size, :root, :note, :signed_at)"
)
_ENSURE_PARTITION = text("SELECT ensure_partition(CAST(:number AS int))")


class PostgresLog:
    """Begins the writer's transactions."""

    def __init__(self, database: Database, wrapper: KeyWrapper) -> None:
        self._database = database
        self._wrapper = wrapper

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresLogTransaction]:
        async with self._database.begin() as unit:
            await unit.connection.execute(_LOCK)
            yield PostgresLogTransaction(unit.connection, self._wrapper)


class PostgresLogTransaction:
    """A transaction that holds the writer's lock."""

    def __init__(self, connection: AsyncConnection, wrapper: KeyWrapper) -> None:
        self._connection = connection
        self._wrapper = wrapper

    async def frontier(self, cached: Frontier | None) -> Frontier:
        size = (await self._connection.execute(_HEAD)).scalar() or 0
        if cached is not None and cached.size == size:
            return cached
        wanted = cover(0, size)
        nodes = await load_nodes(self._connection, wanted)
        return Frontier(size, [nodes[node] for node in wanted])

    async def recorded(self, keys: Collection[EventKey]) -> dict[EventKey, dict[bytes, int]]:
        ordered = list(keys)
        rows = await self._connection.execute(
            _RECORDED, {"sources": [source for source, _ in ordered], "ids": [event_id for _, event_id in ordered]}
        )
        found: dict[EventKey, dict[bytes, int]] = {}
        for row in rows:
            found.setdefault((row.source, row.event_id), {})[bytes(row.message_hash)] = row.place
        return found

    async def chain_ends(self, references: Collection[str]) -> dict[str, Link]:
        if not references:
            return {}
        rows = await self._connection.execute(_CHAIN_ENDS, {"references": list(references)})
        return {row.id: Link(row.reference_index, bytes(row.leaf_hash)) for row in rows}

    async def keys_of(self, persons: Collection[Person]) -> dict[Person, SubjectKey]:
        pairs = sorted({(person.kind.value, known_as) for person in persons for known_as in person.hashes})
        rows = await self._connection.execute(
            _PERSONS, {"kinds": [kind for kind, _ in pairs], "hashes": [known_as for _, known_as in pairs]}
        )
        found = {
            (row.kind, row.hash): SubjectKey(row.subject_id, self._wrapper.unwrap(bytes(row.wrapped), row.subject_id))
            for row in rows
        }
        added: list[tuple[str, str, SubjectKey]] = []
        keys: dict[Person, SubjectKey] = {}
        for person in sorted(persons, key=lambda person: -len(person.hashes)):
            names = [(person.kind.value, known_as) for known_as in person.hashes]
            key = next((found[name] for name in names if name in found), None)
            if key is None:
                key = SubjectKey(f"s_{secrets.token_hex(12)}", secrets.token_bytes(KEY_BYTES))
                added.append((*names[0], key))
            keys[person] = found[names[0]] = key
        await self._add(added)
        return keys

    async def _add(self, added: list[tuple[str, str, SubjectKey]]) -> None:
        if not added:
            return
        await self._connection.execute(
            _ADD_PERSONS,
            {
                "kinds": [kind for kind, _, _ in added],
                "hashes": [known_as for _, known_as, _ in added],
                "subjects": [key.subject_id for _, _, key in added],
                "wrapped": [self._wrapper.wrap(key.key, key.subject_id) for _, _, key in added],
            },
        )

    async def positions(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Position]:
        ordered = list(partitions)
        rows = await self._connection.execute(
            _POSITIONS, {"topics": [topic for topic, _ in ordered], "partitions": [number for _, number in ordered]}
        )
        return {
            (row.topic, row.partition): Position(row.incarnation, row.next_offset, row.last_timestamp) for row in rows
        }

    async def set_positions(self, positions: Mapping[tuple[str, int], Position]) -> None:
        await self._connection.execute(
            _SET_POSITIONS,
            {
                "topics": [topic for topic, _ in positions],
                "partitions": [number for _, number in positions],
                "incarnations": [position.incarnation for position in positions.values()],
                "offsets": [position.next_offset for position in positions.values()],
                "timestamps": [position.last_timestamp for position in positions.values()],
            },
        )

    async def append(self, addition: Addition) -> None:
        records = addition.records
        await self._partitions(records[0].index, addition.size)
        columns = {name: [getattr(record, name) for record in records] for name in _COLUMNS}
        await self._connection.execute(_INSERT_ENTRIES, columns)
        await failpoint("audit.append.mid-batch")
        keys = {name: [getattr(record, name) for record in records] for name in ("source", "event_id", "message_hash")}
        await self._connection.execute(_INSERT_KEYS, {**keys, "index": columns["index"]})
        if addition.nodes:
            levels, indexes, hashes = (list(column) for column in zip(*addition.nodes, strict=True))
            await self._connection.execute(_INSERT_NODES, {"levels": levels, "indexes": indexes, "hashes": hashes})
        if addition.beside:
            contents = {"hashes": list(addition.beside), "contents": list(addition.beside.values())}
            await self._connection.execute(_INSERT_PAYLOADS, contents)
        if addition.lookups:
            kinds, names, places = (list(column) for column in zip(*sorted(addition.lookups), strict=True))
            await self._connection.execute(_INSERT_LOOKUPS, {"kinds": kinds, "hashes": names, "indexes": places})
        if addition.owners:
            addresses, accounts = (list(column) for column in zip(*sorted(addition.owners), strict=True))
            await self._connection.execute(_INSERT_OWNERS, {"addresses": addresses, "accounts": accounts})
        head = {"size": addition.size, "root": addition.root, "note": addition.note, "signed_at": addition.signed_at}
        await failpoint("audit.append.while-signing")  # signed, and nobody has seen it yet
        await self._connection.execute(_INSERT_CHECKPOINT, head)

    async def _partitions(self, first: int, size: int) -> None:
        """Has the partition after the one in use made when half of that is full: never while somebody waits for it."""
        half = PARTITION_SIZE // 2
        if (first + half) // PARTITION_SIZE != (size + half) // PARTITION_SIZE:
            await self._connection.execute(_ENSURE_PARTITION, {"number": (size + half) // PARTITION_SIZE})
