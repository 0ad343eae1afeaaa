"""Accounts in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.recovery.domain.account import Account, Register, Registers
from shared.schemas.identity import AccountStatus

NEVER = datetime(1, 1, 1, tzinfo=UTC)

# Register → its columns and their types; the columns of when and by which event come with each.
REGISTERS: Mapping[str, Mapping[str, str]] = {
    "state": {
        "display_name": "text",
        "reported_status": "text",
        "data_protection_access": "integer",
        "expert_mode": "boolean",
        "locale": "text",
        "time_zone": "text",
        "notification_emails": "jsonb",
    },
    "email": {"email": "text", "email_key": "text", "email_hash": "text"},
    "two_factor": {"two_factor_enabled": "boolean"},
    "backup": {"unused_backup_codes": "integer"},
    "lock": {"locked": "boolean"},
    "removed": {},
    "ended": {"ended_by": "text"},
}


def _columns() -> list[tuple[str, str, str]]:
    """(column, type, register) in one order."""
    columns = []
    for register, values in REGISTERS.items():
        columns += [(f"{register}_at", "timestamptz", register), (f"{register}_id", "text", register)]
        columns += [(name, type_, register) for name, type_ in values.items()]
    return columns


_COLUMNS = _columns()


def _upsert() -> TextClause:
    """One statement for a batch: each register takes what is newer, whatever the order of arrival."""
    names = ", ".join(name for name, _, _ in _COLUMNS)
    arrays = ", ".join(f"CAST(:{name} AS {type_}[])" for name, type_, _ in _COLUMNS)
    updates = ", ".join(
        f"{name} = CASE WHEN (EXCLUDED.{register}_at, EXCLUDED.{register}_id) > (a.{register}_at, a.{register}_id)"
        f" THEN EXCLUDED.{name} ELSE a.{name} END"
        for name, _, register in _COLUMNS
    )
    # Built from the table above, not from anything that came in.
    return text(
        f"INSERT INTO accounts AS a (account_id, {names}) "  # noqa: S608
        f"SELECT * FROM unnest(CAST(:account_id AS text[]), {arrays}) "
        f"ON CONFLICT (account_id) DO UPDATE SET {updates}"
    )


_APPLY = _upsert()
_FIND = text("SELECT * FROM known_accounts WHERE account_id = :account_id")
_LOCK = text("SELECT 1 FROM accounts WHERE account_id = :account_id FOR UPDATE")
_SEARCH = text("""
    SELECT * FROM known_accounts
    WHERE (:query = '' OR account_id = :query OR email_key LIKE :pattern OR lower(display_name) LIKE :pattern)
      AND (CAST(:name AS text) IS NULL OR (lower(display_name), account_id) > (CAST(:name AS text), :id))
    ORDER BY lower(display_name), account_id LIMIT :limit
""")


def _like(query: str) -> str:
    escaped = query.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def account_of(row: Any) -> Account:
    return Account(
        account_id=row.account_id,
        email=row.email,
        display_name=row.display_name,
        status=AccountStatus(row.status),
        two_factor_enabled=row.two_factor_enabled,
        unused_backup_codes=row.unused_backup_codes,
        data_protection_access=row.data_protection_access,
        expert_mode=row.expert_mode,
        locale=row.locale,
        time_zone=row.time_zone,
        notification_emails=tuple(_decoded(row.notification_emails) or ()),
        ended_at=row.ended_at,
        ended_by=row.ended_by,
    )


def _decoded(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


class SqlAccounts:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def apply(self, accounts: Mapping[str, Registers]) -> None:
        if not accounts:
            return
        # Sorted, so that two replicas lock rows in one order.
        ordered = sorted(accounts.items())
        parameters: dict[str, list[Any]] = {"account_id": [account_id for account_id, _ in ordered]}
        for column, type_, register in _COLUMNS:
            parameters[column] = [_value(registers.get(register), column, type_) for _, registers in ordered]
        await self._connection.execute(_APPLY, parameters)

    async def find(self, account_id: str, *, lock: bool = False) -> Account | None:
        if "\0" in account_id:  # nothing that PostgreSQL can hold
            return None
        if lock:
            await self._connection.execute(_LOCK, {"account_id": account_id})
        row = (await self._connection.execute(_FIND, {"account_id": account_id})).first()
        return account_of(row) if row is not None else None

    async def search(self, query: str, *, limit: int, after: tuple[str, str] | None) -> Sequence[Account]:
        name, id_ = after if after is not None else (None, "")
        parameters = {"query": query, "pattern": _like(query), "name": name, "id": id_, "limit": limit}
        return [account_of(row) for row in await self._connection.execute(_SEARCH, parameters)]


def _value(register: Register | None, column: str, type_: str) -> Any:
    if column.endswith("_at") and type_ == "timestamptz":
        return register.at if register else NEVER
    if column.endswith("_id"):
        return register.event_id if register else ""
    value = register.values.get(column) if register else None
    return json.dumps(value) if type_ == "jsonb" and value is not None else value
