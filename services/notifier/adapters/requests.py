"""Requests and who is told of them, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from services.notifier.domain.delivery import Told
from services.notifier.domain.flooding import RecentlyTold
from services.notifier.ports import OpenRequest
from shared.kit.db.unit import UnitOfWork
from shared.schemas.enrichment import AssistanceEnrichedData

_KEEP = text("""
    INSERT INTO requests (reference_id, subject, data, traceparent, kept_at, settled)
    VALUES (:reference_id, :subject, CAST(:data AS jsonb), :traceparent, :now, true)
    ON CONFLICT DO NOTHING RETURNING reference_id
""")
_OPEN = text("""
    SELECT CAST(data AS text) AS data, traceparent, kept_at FROM requests
    WHERE reference_id = :reference_id AND NOT settled FOR UPDATE
""")
_SET_SETTLED = text("UPDATE requests SET settled = :settled WHERE reference_id = :reference_id")
_RECENT = text("""
    SELECT admin, count(*) AS messages, COALESCE(bool_or(subject = CAST(:subject AS text)), false) AS of_this_account
    FROM notifications
    WHERE via = 'message' AND admin = ANY(CAST(:admins AS text[])) AND created_at > :since
    GROUP BY admin
""")
_COLLECT = text("""
    WITH waiting AS (
        SELECT DISTINCT admin FROM notifications
        WHERE admin = ANY(CAST(:admins AS text[])) AND due_at = :due_at AND delivery_id IS NULL
    ), added AS (
        INSERT INTO notifications (reference_id, admin, via, due_at, subject, created_at)
        SELECT :reference_id, admin, 'digest', :due_at,
            (SELECT subject FROM requests WHERE reference_id = :reference_id), :now
        FROM unnest(CAST(:admins AS text[])) AS admin
        ON CONFLICT DO NOTHING RETURNING admin
    )
    SELECT admin FROM added WHERE admin NOT IN (SELECT admin FROM waiting)
""")
_COLLECTED = text("""
    SELECT CAST(requests.data AS text) AS data, requests.traceparent
    FROM notifications JOIN requests USING (reference_id)
    WHERE admin = :admin AND due_at = :due_at AND delivery_id IS NULL
    ORDER BY notifications.created_at, reference_id FOR UPDATE OF notifications
""")


def told(row: Row[Any]) -> Told:
    """What a row with `data` and `traceparent` holds."""
    return Told(AssistanceEnrichedData.model_validate_json(row.data), row.traceparent)


class PostgresRequests:
    """`ports.Requests` in one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._connection = unit.connection

    async def keep(self, told: Told, now: datetime) -> bool:
        """Keeps the data once, however many administrators are told."""
        parameters = {
            "reference_id": told.reference_id,
            "subject": told.data.resolved.account_id if told.data.resolved else None,
            "data": told.data.model_dump_json(exclude_none=True),
            "traceparent": told.traceparent,
            "now": now,
        }
        return (await self._connection.execute(_KEEP, parameters)).first() is not None

    async def open(self, reference_id: str) -> OpenRequest | None:
        """Locks the request."""
        row = (await self._connection.execute(_OPEN, {"reference_id": reference_id})).one_or_none()
        return None if row is None else OpenRequest(told(row), row.kept_at)

    async def postpone(self, reference_id: str) -> None:
        """Marks the request as open."""
        await self._connection.execute(_SET_SETTLED, {"reference_id": reference_id, "settled": False})

    async def settle(self, reference_id: str) -> None:
        """Marks the request as settled."""
        await self._connection.execute(_SET_SETTLED, {"reference_id": reference_id, "settled": True})

    async def recently_told(
        self, admins: Sequence[str], subject: str | None, since: datetime
    ) -> dict[str, RecentlyTold]:
        """Counts by index, for all administrators at once."""
        parameters = {"admins": list(admins), "subject": subject, "since": since}
        rows = await self._connection.execute(_RECENT, parameters)
        return {row.admin: RecentlyTold(row.messages, row.of_this_account) for row in rows}

    async def collect(self, reference_id: str, admins: Sequence[str], due_at: datetime, now: datetime) -> list[str]:
        """Two replicas may both find nobody waiting; the second digest job then finds nothing left to tell."""
        if not admins:
            return []
        parameters = {"reference_id": reference_id, "admins": list(admins), "due_at": due_at, "now": now}
        return [row.admin for row in await self._connection.execute(_COLLECT, parameters)]

    async def collected(self, admin: str, due_at: datetime) -> list[Told]:
        """Locks what waits."""
        rows = await self._connection.execute(_COLLECTED, {"admin": admin, "due_at": due_at})
        return [told(row) for row in rows]
