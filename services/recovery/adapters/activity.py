"""The activity log of accounts, and the answers kept for idempotency keys, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.ports import Activity

_COLUMNS = {
    "account_id": "text",
    "at": "timestamptz",
    "type": "text",
    "actor": "text",
    "on_behalf_of": "text",
    "reason": "text",
    "details": "text",
    "reference_id": "text",
    "outcome": "text",
    "ip": "text",
}
_ADD = text(
    f"INSERT INTO activity ({', '.join(_COLUMNS)}) SELECT * FROM unnest("  # noqa: S608 - from the table above
    + ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_ in _COLUMNS.items())
    + ")"
)
_PAGE = text("""
    SELECT * FROM activity
    WHERE account_id = :account_id
      AND (CAST(:at AS timestamptz) IS NULL OR (at, id) < (CAST(:at AS timestamptz), :id))
    ORDER BY at DESC, id DESC LIMIT :limit
""")
_FORGET = text("DELETE FROM activity WHERE at < :before")
_CLAIM = text("""
    INSERT INTO answers (subject, idempotency_key, fingerprint, action_id)
    VALUES (:subject, :key, :fingerprint, :action_id) ON CONFLICT DO NOTHING RETURNING action_id
""")
_ANSWERED = text("SELECT fingerprint, action_id FROM answers WHERE subject = :subject AND idempotency_key = :key")
_FORGET_ANSWERS = text("DELETE FROM answers WHERE created_at < :before")


class SqlActivityLog:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, entries: Sequence[Activity]) -> None:
        if entries:
            parameters = {name: [getattr(entry, name) for entry in entries] for name in _COLUMNS}
            await self._connection.execute(_ADD, parameters)

    async def page(
        self, account_id: str, *, limit: int, after: tuple[datetime, int] | None
    ) -> Sequence[tuple[int, Activity]]:
        at, id_ = after if after is not None else (None, 0)
        parameters = {"account_id": account_id, "at": at, "id": id_, "limit": limit}
        rows = await self._connection.execute(_PAGE, parameters)
        return [(row.id, Activity(**{name: getattr(row, name) for name in _COLUMNS})) for row in rows]

    async def forget(self, before: datetime) -> None:
        await self._connection.execute(_FORGET, {"before": before})


class SqlAnswers:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, subject: str, key: str, fingerprint: bytes, action_id: str) -> tuple[bytes, str] | None:
        # A second request with the same key waits here until the first has committed or rolled back.
        parameters = {"subject": subject, "key": key, "fingerprint": fingerprint, "action_id": action_id}
        if (await self._connection.execute(_CLAIM, parameters)).first() is not None:
            return None
        row = (await self._connection.execute(_ANSWERED, {"subject": subject, "key": key})).one()
        return bytes(row.fingerprint), row.action_id

    async def forget(self, before: datetime) -> None:
        await self._connection.execute(_FORGET_ANSWERS, {"before": before})
