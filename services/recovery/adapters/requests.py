"""The queue of assistance requests in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.ports import Request

# A request and its enrichment come over two topics, in either order; each adds what the other doesn't know.
_ADD = text("""
    INSERT INTO requests AS r (reference_id, email, email_hash, issue, requested_at, suppressed)
    VALUES (:reference_id, :email, :email_hash, :issue, :requested_at, :suppressed)
    ON CONFLICT (reference_id) DO UPDATE SET suppressed = r.suppressed OR EXCLUDED.suppressed
""")
_RESOLVE = text("""
    INSERT INTO requests AS r (reference_id, email, email_hash, issue, requested_at, suppressed, account_id)
    VALUES (:reference_id, :email, :email_hash, :issue, :requested_at, :suppressed, :account_id)
    ON CONFLICT (reference_id) DO UPDATE SET account_id = coalesce(EXCLUDED.account_id, r.account_id)
""")
_FIND = text("SELECT * FROM requests WHERE reference_id = :reference_id")
_FIND_LOCKED = text("SELECT * FROM requests WHERE reference_id = :reference_id FOR UPDATE")
_SEARCH = text("""
    SELECT * FROM requests
    WHERE (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:at AS timestamptz) IS NULL OR (requested_at, reference_id) < (CAST(:at AS timestamptz), :id))
    ORDER BY requested_at DESC, reference_id DESC LIMIT :limit
""")
_OPEN_OF = text("""
    SELECT * FROM requests
    WHERE account_id = :account_id AND state = 'open' AND NOT suppressed AND requested_at >= :since
    ORDER BY requested_at DESC LIMIT 20
""")
_CLAIM = text("""
    UPDATE requests SET claimed_by = :actor, claimed_at = clock_timestamp() WHERE reference_id = :reference_id
""")
_CLOSE = text("""
    UPDATE requests SET state = 'closed', closed_by = :actor, closed_at = clock_timestamp(), outcome = :outcome,
                        note = :note
    WHERE reference_id = :reference_id
""")


def _request(row: Any) -> Request:
    return Request(
        reference_id=row.reference_id,
        state=row.state,
        issue=row.issue,
        email=row.email,
        email_hash=row.email_hash,
        requested_at=row.requested_at,
        suppressed=row.suppressed,
        account_id=row.account_id,
        claimed_by=row.claimed_by,
        claimed_at=row.claimed_at,
        closed_by=row.closed_by,
        closed_at=row.closed_at,
        outcome=row.outcome,
        note=row.note,
    )


def _parameters(request: Request) -> dict[str, Any]:
    return {
        "reference_id": request.reference_id,
        "email": request.email,
        "email_hash": request.email_hash,
        "issue": request.issue,
        "requested_at": request.requested_at,
        "suppressed": request.suppressed,
        "account_id": request.account_id,
    }


class SqlRequests:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, request: Request) -> None:
        await self._connection.execute(_ADD, _parameters(request))

    async def resolve(self, request: Request) -> None:
        await self._connection.execute(_RESOLVE, _parameters(request))

    async def find(self, reference_id: str, *, lock: bool = False) -> Request | None:
        statement = _FIND_LOCKED if lock else _FIND
        row = (await self._connection.execute(statement, {"reference_id": reference_id})).first()
        return _request(row) if row is not None else None

    async def search(self, state: str | None, *, limit: int, after: tuple[datetime, str] | None) -> Sequence[Request]:
        at, id_ = after if after is not None else (None, "")
        rows = await self._connection.execute(_SEARCH, {"state": state, "at": at, "id": id_, "limit": limit})
        return [_request(row) for row in rows]

    async def open_of(self, account_id: str, since: datetime) -> Sequence[Request]:
        rows = await self._connection.execute(_OPEN_OF, {"account_id": account_id, "since": since})
        return [_request(row) for row in rows]

    async def claim(self, reference_id: str, actor: str) -> None:
        await self._connection.execute(_CLAIM, {"reference_id": reference_id, "actor": actor})

    async def close(self, reference_id: str, actor: str, outcome: str, note: str | None) -> None:
        parameters = {"reference_id": reference_id, "actor": actor, "outcome": outcome, "note": note}
        await self._connection.execute(_CLOSE, parameters)
