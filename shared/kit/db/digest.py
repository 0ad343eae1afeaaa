"""What a table holds, as one number: equal digests are equal rows, whatever the order they were written in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Digest:
    """A table's rows: how many, and the SHA-256 (hex) of their `COPY` text in canonical order."""

    rows: int
    sha256: str


async def digest(connection: AsyncConnection, table: str, columns: Sequence[str], *, where: str = "true") -> Digest:
    """Reads the rows once and keeps none.

    The order is that of the rows' text by code point, so it needs no key and depends on no locale. Within a transaction
    it sees what that wrote.

    Args:
        table: the name, qualified by its schema and quoted where that is needed.
        columns: those that count.
        where: an SQL condition; both come from our code, not from outside.
    """
    # The text of a time is that of the session's zone.
    await connection.execute(text("SET LOCAL TimeZone = 'UTC'"))
    names = ", ".join(columns)
    raw = (await connection.get_raw_connection()).driver_connection
    assert raw is not None
    hashed, rows = hashlib.sha256(), 0

    async def take(chunk: bytes) -> None:
        nonlocal rows
        hashed.update(chunk)
        rows += chunk.count(b"\n")  # the text format writes a line break within a value as \n

    await raw.copy_from_query(
        f'SELECT {names} FROM {table} WHERE {where} ORDER BY CAST(ROW({names}) AS text) COLLATE "C"',  # noqa: S608
        output=take,
    )
    return Digest(rows, hashed.hexdigest())
