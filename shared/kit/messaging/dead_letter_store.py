"""Dead letters as people deal with them: list, read, ask for a replay, drop.

Used by the service that parked them and by `readmit dead-letters`, both on that service's database. Nothing here ever
deletes bytes: a replay and a drop settle a letter, and are kept in `dead_letter_actions`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.messaging.dead_letters import Original, original, printable


class State(StrEnum):
    """What became of a dead letter."""

    PARKED = "parked"  # waits for people
    REPLAYING = "replaying"  # asked for, waits for its service
    REPLAYED = "replayed"  # it had its effect
    DROPPED = "dropped"  # somebody decided that it shall have none


UNSETTLED = (State.PARKED, State.REPLAYING)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter without its bytes. `size` in bytes of the value, None where the record had none."""

    id: int
    parked_at: datetime
    consumer_group: str
    topic: str
    partition: int
    offset: int
    size: int | None
    kind: str
    reason: str
    state: State
    replays: int
    """How many replays failed again."""
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did about a letter."""

    action: str
    by: str
    because: str | None
    asked_at: datetime
    outcome: str | None
    detail: str | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters; what is None or empty selects all. `reason` is a kind, or a part of the reason's text."""

    ids: Collection[int] | None = None
    topics: Collection[str] = ()
    groups: Collection[str] = ()
    since: datetime | None = None
    reason: str | None = None
    states: Collection[State] = ()

    def parameters(self) -> Mapping[str, Any]:
        return {
            "ids": None if self.ids is None else list(self.ids),
            "topics": list(self.topics) or None,
            "groups": list(self.groups) or None,
            "since": self.since,
            "reason": self.reason,
            "states": [state.value for state in self.states] or None,
        }


_COLUMNS = 'id, parked_at, consumer_group, topic, partition, "offset", size, kind, reason, state, replays, settled_at'
_SELECTED = """
    (CAST(:ids AS bigint[]) IS NULL OR id = ANY(:ids))
    AND (CAST(:topics AS text[]) IS NULL OR topic = ANY(:topics))
    AND (CAST(:groups AS text[]) IS NULL OR consumer_group = ANY(:groups))
    AND (CAST(:since AS timestamptz) IS NULL OR parked_at >= :since)
    AND (CAST(:reason AS text) IS NULL OR kind = :reason OR position(lower(:reason) IN lower(reason)) > 0)
    AND (CAST(:states AS text[]) IS NULL OR state = ANY(:states))
"""
_PAGE = text(f"SELECT {_COLUMNS} FROM dead_letters WHERE id > :after AND {_SELECTED} ORDER BY id LIMIT :limit")  # noqa: S608
_COUNT = text(f"SELECT count(*) FROM dead_letters WHERE {_SELECTED}")  # noqa: S608
_READ = text(f"SELECT {_COLUMNS}, ledger_id FROM dead_letters WHERE id = :id")  # noqa: S608
_BYTES = text("SELECT value, headers FROM ledger WHERE id = :id")
_ALL_BYTES = text("""
    SELECT dead_letters.id, value, headers FROM dead_letters JOIN ledger ON ledger.id = ledger_id
    WHERE dead_letters.id = ANY(CAST(:ids AS bigint[]))
""")
_ACTIONS = text("""
    SELECT action, "by", because, asked_at, outcome, detail, finished_at FROM dead_letter_actions
    WHERE dead_letter_id = :id ORDER BY id
""")
_ASK = text(f"""
    WITH asked AS (
        UPDATE dead_letters SET state = 'replaying', settled_at = NULL
        WHERE {_SELECTED} AND state IN ('parked', 'dropped') RETURNING id
    )
    INSERT INTO dead_letter_actions (dead_letter_id, action, "by") SELECT id, 'replay', :by FROM asked ORDER BY id
    RETURNING dead_letter_id
""")  # noqa: S608
_DROP = text(f"""
    WITH dropped AS (
        UPDATE dead_letters SET state = 'dropped', settled_at = now()
        WHERE {_SELECTED} AND state = 'parked' RETURNING id
    )
    INSERT INTO dead_letter_actions (dead_letter_id, action, "by", because, outcome, finished_at)
    SELECT id, 'drop', :by, :because, 'dropped', now() FROM dropped ORDER BY id
    RETURNING dead_letter_id
""")  # noqa: S608
_WAITING = text("""
    SELECT id FROM dead_letters WHERE state = 'replaying' AND consumer_group = :group ORDER BY id LIMIT :limit
""")
_FINISH = text("""
    WITH settled AS (
        UPDATE dead_letters SET
            state = CASE WHEN CAST(:reason AS text) IS NULL THEN 'replayed' ELSE 'parked' END,
            settled_at = CASE WHEN CAST(:reason AS text) IS NULL THEN now() END,
            replays = replays + CASE WHEN CAST(:reason AS text) IS NULL THEN 0 ELSE 1 END,
            kind = coalesce(:kind, kind), reason = coalesce(:reason, reason)
        WHERE id = :id AND state = 'replaying' RETURNING id
    )
    UPDATE dead_letter_actions SET outcome = CASE WHEN CAST(:reason AS text) IS NULL THEN 'replayed' ELSE 'failed' END,
        detail = :reason, finished_at = now()
    FROM settled WHERE dead_letter_id = settled.id AND action = 'replay' AND outcome IS NULL
    RETURNING "by"
""")
_LOG_DROPS = text("""
    UPDATE dead_letter_actions SET logged = true FROM dead_letters
    WHERE dead_letters.id = dead_letter_id AND consumer_group = :group AND action = 'drop' AND NOT logged
    RETURNING dead_letter_id, "by"
""")
_UNSETTLED = text("""
    SELECT consumer_group, topic, count(*) AS letters, min(parked_at) AS oldest FROM dead_letters
    WHERE state IN ('parked', 'replaying') GROUP BY consumer_group, topic
""")


def _letter(row: Row[Any]) -> Letter:
    return Letter(
        row.id, row.parked_at, row.consumer_group, row.topic, row.partition, row.offset, row.size, row.kind, row.reason,
        State(row.state), row.replays, row.settled_at,
    )  # fmt: skip


async def list_letters(
    connection: AsyncConnection, selection: Selection, *, after: int = 0, limit: int = 500
) -> list[Letter]:
    """A page of letters, oldest first, those with an id above `after`; ids are given out once and never change."""
    rows = await connection.execute(_PAGE, {**selection.parameters(), "after": after, "limit": limit})
    return [_letter(row) for row in rows]


async def count_letters(connection: AsyncConnection, selection: Selection) -> int:
    return int((await connection.execute(_COUNT, selection.parameters())).scalar_one())


async def read_letter(connection: AsyncConnection, letter_id: int) -> tuple[Letter, Original, list[Action]] | None:
    """A letter, the record as it was, and what people did about it; None when there is no such letter."""
    row = (await connection.execute(_READ, {"id": letter_id})).one_or_none()
    if row is None:
        return None
    stored = (await connection.execute(_BYTES, {"id": row.ledger_id})).one()
    actions = [Action(*item) for item in await connection.execute(_ACTIONS, {"id": letter_id})]
    return _letter(row), original(bytes(stored.value), stored.headers), actions


async def read_originals(connection: AsyncConnection, ids: Collection[int]) -> dict[int, Original]:
    """The records of letters as they were, by the letters' ids."""
    rows = await connection.execute(_ALL_BYTES, {"ids": list(ids)})
    return {row.id: original(bytes(row.value), row.headers) for row in rows}


async def ask_replay(connection: AsyncConnection, selection: Selection, *, by: str) -> list[int]:
    """Has the service process letters again, parked or dropped ones; returns which."""
    rows = await connection.execute(_ASK, {**selection.parameters(), "by": printable(by)})
    return [row.dead_letter_id for row in rows]


async def drop(connection: AsyncConnection, selection: Selection, *, by: str, because: str) -> list[int]:
    """Settles parked letters without an effect; returns which."""
    rows = await connection.execute(
        _DROP, {**selection.parameters(), "by": printable(by), "because": printable(because)}
    )
    return [row.dead_letter_id for row in rows]


async def waiting(connection: AsyncConnection, group: str, limit: int) -> Sequence[int]:
    """Letters of a consumer group whose replay was asked for."""
    rows = await connection.execute(_WAITING, {"group": group, "limit": limit})
    return [row.id for row in rows]


async def finish(
    connection: AsyncConnection, letter_id: int, *, kind: str | None = None, reason: str | None = None
) -> str | None:
    """Settles a letter as replayed, or parks it again for a reason. Who had asked; None when it was settled already."""
    values = {"id": letter_id, "kind": kind, "reason": None if reason is None else printable(reason)}
    row = (await connection.execute(_FINISH, values)).first()
    return None if row is None else str(row.by)


async def drops_to_log(connection: AsyncConnection, group: str) -> list[tuple[int, str]]:
    """Letters that were dropped and are not in the service's log yet, and by whom; each is told once.

    Not why: that is free text, which may name people, and stays in the table.
    """
    return [(row.dead_letter_id, row.by) for row in await connection.execute(_LOG_DROPS, {"group": group})]


async def unsettled(connection: AsyncConnection) -> list[tuple[str, str, int, datetime]]:
    """By consumer group and topic: how many letters wait, and since when the oldest does."""
    return [(row.consumer_group, row.topic, row.letters, row.oldest) for row in await connection.execute(_UNSETTLED)]
