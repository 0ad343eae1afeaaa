"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from services.audit.domain.entries import Link
from services.audit.domain.merkle import Frontier, Node
from services.audit.domain.persons import Person
from services.audit.domain.query import Term
from shared.schemas.envelope import Event

EventKey = tuple[str, str]
"""Source and event id."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """A person's key, and the random name under which it is kept."""

    subject_id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """How far a partition was read. `last_timestamp`: the largest of its messages, in milliseconds since 1970."""

    incarnation: int
    next_offset: int
    last_timestamp: int


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A row for the log, with its columns for searching."""

    index: int
    leaf_hash: bytes
    entry: bytes
    source: str
    event_id: str
    message_hash: bytes
    type: str
    service: str | None
    reference_id: str | None
    reference_index: int | None
    actor: str | None
    subject: str | None
    outcome: str | None
    reason: str | None
    occurred_at: datetime
    topic: str
    partition: int
    offset: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What one transaction adds to the log."""

    records: Sequence[NewRecord]
    nodes: Sequence[tuple[int, int, bytes]]
    beside: Mapping[bytes, bytes]
    lookups: Collection[tuple[str, str, int]]
    """Kind (`email`, `ip`), keyed hash, index."""
    owners: Collection[tuple[str, str]]
    """Address hash, account hash."""
    size: int
    root: bytes
    note: str
    signed_at: datetime


class LogTransaction(Protocol):
    """One transaction of the log's only writer."""

    async def frontier(self, cached: Frontier | None) -> Frontier:
        """The right edge as stored: the cached one where it is current."""
        ...

    async def recorded(self, keys: Collection[EventKey]) -> dict[EventKey, dict[bytes, int]]:
        """Of the events that are in the log: the index of each message hash, the first one first."""
        ...

    async def keys_of(self, persons: Collection[Person]) -> dict[Person, SubjectKey]:
        """Their keys; who has none gets one."""
        ...

    async def chain_ends(self, references: Collection[str]) -> dict[str, Link]:
        """For each reference with records: number and leaf hash of the last one."""
        ...

    async def positions(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Position]: ...

    async def append(self, addition: Addition) -> None: ...

    async def set_positions(self, positions: Mapping[tuple[str, int], Position]) -> None: ...


class Log(Protocol):
    """The log, for its writer."""

    def transaction(self) -> AbstractAsyncContextManager[LogTransaction]: ...


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it is kept."""

    index: int
    leaf_hash: bytes
    entry: bytes


class Reading(Protocol):
    """One transaction of a reader, which also records that there was one."""

    async def size(self) -> int:
        """How many records the current checkpoint covers."""
        ...

    async def search(self, terms: Sequence[Term], *, start: int, end: int, limit: int) -> list[StoredRecord]:
        """Records with start <= index < end for which every term holds, oldest first."""
        ...

    async def by_reference(self, reference_id: str) -> list[StoredRecord]: ...

    async def by_index(self, index: int) -> StoredRecord | None: ...

    async def subject_keys(self, subject_ids: Collection[str]) -> dict[str, bytes]:
        """The keys that are not destroyed."""
        ...

    async def beside(self, hashes: Collection[bytes]) -> dict[bytes, bytes]: ...

    async def nodes(self, nodes: Collection[Node]) -> dict[Node, bytes]: ...

    async def checkpoint(self) -> tuple[int, str] | None:
        """Size and note of the current checkpoint; None while nothing was recorded."""
        ...

    def publish(self, event: Event[Any], *, key: str) -> None: ...


class Archive(Protocol):
    """The log, for its readers."""

    def reading(self) -> AbstractAsyncContextManager[Reading]: ...
