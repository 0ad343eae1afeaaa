"""What a service derives from events, and what came out of deriving it again (`shared/kit/rebuild.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.kit.db.digest import Digest
from shared.kit.db.unit import UnitOfWork
from shared.schemas.envelope import Event

Fold = Callable[[Sequence[Event[Any]], UnitOfWork], Awaitable[None]]
Settle = Callable[[UnitOfWork], Awaitable[None]]


async def _nothing(_: UnitOfWork) -> None: ...


@dataclass(frozen=True, slots=True)
class ProjectedTable:
    """A table whose rows follow from events.

    Attributes:
        left_out: columns that say nothing of the events (an id by order of arrival); made anew, and in no digest.
        projected: with it, only these columns follow from events (`key` among them). The others are the service's own
            state: its rows are then brought up to date where they lie, and none is removed.
        key: the primary key, where `projected` is given.
        where: an SQL condition: which rows follow from events; the others are left as they are.
    """

    name: str
    left_out: tuple[str, ...] = ()
    projected: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    where: str = "true"


@dataclass(frozen=True, slots=True)
class Projection:
    """What a service derives from events, and the consumer's own code that does it.

    Attributes:
        publishers: the services whose events it consumes.
        consumed: the types that it folds of theirs.
        published: the types that it folds of its own.
        settle: called when a part of the events has been folded, for what depends on order. May be called again.
    """

    service: str
    publishers: tuple[str, ...]
    tables: tuple[ProjectedTable, ...]
    consumed: frozenset[str]
    published: frozenset[str]
    fold: Fold
    settle: Settle = _nothing


@dataclass(frozen=True, slots=True)
class TableOutcome:
    """A table before and after."""

    table: str
    before: Digest
    after: Digest

    @property
    def equal(self) -> bool:
        return self.before == self.after


@dataclass(slots=True)
class Outcome:
    """What a rebuild found."""

    service: str
    events: int = 0
    seconds: float = 0.0
    """All of it."""
    held_seconds: float = 0.0
    """How long the service's writers waited."""
    unknown: int = 0
    """Events that the service consumed and no ledger holds: what they said is in none of the new rows."""
    tables: list[TableOutcome] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        return all(table.equal for table in self.tables)


class RebuildError(Exception):
    """It could not be done, and nothing was changed. The message is for people."""
