"""The projection of accounts in PostgreSQL: four registers a row, joined where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from services.notifier.domain.accounts import Account, Profile, Register, Stamp
from shared.kit.db.unit import UnitOfWork
from shared.schemas.identity import AccountStatus

_REGISTERS = {
    "profile": ("display_name", "status", "level", "locale", "time_zone"),
    "email": ("email",),
    "locked": ("locked",),
    "removed": (),
}
_TYPES = {"level": "integer", "locked": "boolean"}
_COLUMNS = ["account_id"]
for _name, _values in _REGISTERS.items():
    _COLUMNS += [f"{_name}_at", f"{_name}_id", *_values]


def _type(column: str) -> str:
    return "timestamptz" if column.endswith("_at") else _TYPES.get(column, "text")


def _is_newer(name: str) -> str:
    def stamp(row: str) -> str:
        return f"(COALESCE({row}.{name}_at, '-infinity'), {row}.{name}_id)"

    return f"{stamp('EXCLUDED')} > {stamp('known')}"


def _assignments() -> str:
    return ",\n        ".join(
        f"{column} = CASE WHEN {_is_newer(name)} THEN EXCLUDED.{column} ELSE known.{column} END"
        for name, values in _REGISTERS.items()
        for column in (f"{name}_at", f"{name}_id", *values)
    )


_JOIN = text(f"""
    INSERT INTO accounts AS known ({", ".join(_COLUMNS)})
    SELECT * FROM unnest({", ".join(f"CAST(:{column} AS {_type(column)}[])" for column in _COLUMNS)})
    ON CONFLICT (account_id) DO UPDATE SET
        {_assignments()}
""")  # noqa: S608 - built from the names above

# Of who is gone only the stamps stay, against events that arrive late.
_FORGET_REMOVED = text("""
    UPDATE accounts SET
        display_name = NULL, time_zone = NULL,
        email = CASE WHEN (email_at, email_id) > (removed_at, removed_id) THEN email END
    WHERE account_id = ANY(CAST(:account_id AS text[]))
        AND (removed_at, removed_id) > (COALESCE(profile_at, '-infinity'), profile_id)
        AND (display_name IS NOT NULL OR time_zone IS NOT NULL OR email IS NOT NULL)
""")

# The status is left to the domain's rule. NULL where never reported, so it drops out of both.
_OF_LEVEL = text("SELECT * FROM accounts WHERE level >= :level AND level > 0 AND email <> '' ORDER BY account_id")
_OF_ANY_LEVEL = text("SELECT * FROM accounts WHERE level >= 0 AND email <> '' ORDER BY account_id")
_ONE = text("SELECT * FROM accounts WHERE account_id = :account_id")


class PostgresAccounts:
    """`ports.Accounts` in one transaction."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._connection = unit.connection

    async def merge(self, accounts: Sequence[Account]) -> None:
        """Joins the registers; `accounts` are distinct and in the order in which everybody locks rows."""
        rows = [_row(account) for account in accounts]
        parameters = {column: [row[column] for row in rows] for column in _COLUMNS}
        await self._connection.execute(_JOIN, parameters)
        await self._connection.execute(_FORGET_REMOVED, {"account_id": parameters["account_id"]})

    async def of_level(self, level: int) -> list[Account]:
        """Accounts with at least this level and an address."""
        statement = _OF_LEVEL if level > 0 else _OF_ANY_LEVEL
        return [_account(row) for row in await self._connection.execute(statement, {"level": level} if level else {})]

    async def get(self, account_id: str) -> Account | None:
        """One account."""
        row = (await self._connection.execute(_ONE, {"account_id": account_id})).one_or_none()
        return None if row is None else _account(row)


def _row(account: Account) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row["account_id"] = account.account_id
    for name in _REGISTERS:
        register: Register[Any] | None = getattr(account, name)
        row[f"{name}_at"] = register.stamp.time if register else None
        row[f"{name}_id"] = register.stamp.event_id if register else ""
    if account.profile:
        profile = account.profile.value
        row |= {column: getattr(profile, column) for column in _REGISTERS["profile"]} | {"status": profile.status.value}
    row["email"] = account.email.value if account.email else None
    row["locked"] = account.locked.value if account.locked else None
    return row


def _account(row: Row[Any]) -> Account:
    def stamp(name: str) -> Stamp | None:
        at = getattr(row, f"{name}_at")
        return None if at is None else Stamp(at, getattr(row, f"{name}_id"))

    profile, email, locked, removed = (stamp(name) for name in _REGISTERS)
    return Account(
        row.account_id,
        profile=Register(
            profile, Profile(row.display_name or "", AccountStatus(row.status), row.level, row.locale, row.time_zone)
        )
        if profile
        else None,
        email=Register(email, row.email or "") if email else None,
        locked=Register(locked, row.locked) if locked else None,
        removed=Register(removed, None) if removed else None,
    )
