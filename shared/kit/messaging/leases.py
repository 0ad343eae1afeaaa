"""Leases of outbox rows that end with whoever took them.

faststream-outbox gives a row back when its lease has run out, and a lease must outlast the slowest send: after a kill
-9 what had been fetched would wait for 20 seconds, a recovery mail for 150. Here the database session that fetches
holds an advisory lock, and its number is the first half of the tokens of its leases. PostgreSQL drops the lock with
the session, in the moment that the process or the server dies, and then any fetch takes the rows over.

A process that lives and only lost that session may still be at work on such a row, so a row may then be worked off
twice: harmless for the relay, since consumers deduplicate; for a mail it is the case that contract section 9 allows.
The lock needs a session of its own: not a pooler in transaction mode.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from faststream_outbox import OutboxBroker
from faststream_outbox.client import OutboxClient, _row_to_message
from faststream_outbox.message import OutboxInnerMessage
from faststream_outbox.subscriber import usecase
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify
from shared.kit.messaging.pace import Pace

log = get_logger(__name__)

Written = TypeVar("Written")

# After an error the library waits before it connects anew: 1 s, doubling up to 30 s, and counts on from there unless a
# connection held for a minute. A PostgreSQL that restarts a few times would leave the outbox idle for half a minute.
LONGEST_RECONNECT_SECONDS = 2.0
LOOK_SECONDS = 2.0  # between looks for leases without an owner; the first is at the first fetch of a session
GATHER_SECONDS = 0.05  # of a busy queue: rows that come one by one are fetched, and deleted, together
_WRITE_PAUSES = (0.0, 0.2, 0.5, 1.0, 2.0)  # seconds: a server that is restarted is back by then
_GRACE = "2 seconds"  # younger leases are left alone: who lost the session only has usually done the work by then

_LOCK = text("SELECT pg_advisory_lock(CAST(:owner AS bigint))")
# pg_locks shows a bigint's halves as classid and objid, and 1 as objsubid.
_RELEASE = text(f"""
    WITH orphaned AS (
        SELECT id FROM outbox
        WHERE queue = ANY(CAST(:queues AS text[])) AND acquired_token IS NOT NULL
          AND acquired_at < now() - interval '{_GRACE}'
          AND NOT EXISTS (
              SELECT 1 FROM pg_locks
              WHERE locktype = 'advisory' AND granted AND objsubid = 1
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND (CAST(classid AS bigint) << 32 | CAST(objid AS bigint))
                    = CAST(CAST('x' || left(replace(CAST(acquired_token AS text), '-', ''), 16) AS bit(64)) AS bigint)
          )
        FOR UPDATE SKIP LOCKED
    )
    UPDATE outbox SET acquired_at = NULL, acquired_token = NULL FROM orphaned WHERE outbox.id = orphaned.id
""")  # noqa: S608 - a constant of this module


def tie_leases_to_sessions(broker: OutboxBroker) -> OutboxBroker:
    """The broker with such leases, and quick to connect again."""
    config = broker.config.broker_config
    assert config.engine is not None
    config.client = SessionLeases(config.engine, broker.client.table)
    usecase._BACKOFF_MAX_SECONDS = LONGEST_RECONNECT_SECONDS
    return broker


class SessionLeases(OutboxClient):
    """The client of faststream-outbox, with leases tied to the session that takes them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._paces: defaultdict[tuple[str, ...], Pace] = defaultdict(Pace)
        self._more_waits: set[tuple[str, ...]] = set()  # queues whose last fetch found all that it asked for

    async def fetch(
        self, conn: AsyncConnection | None, queues: Sequence[str], *, limit: int, lease_ttl_seconds: float
    ) -> list[OutboxInnerMessage]:
        """Claims up to `limit` rows that nobody works on."""
        assert conn is not None, "only the library's own test double does without"
        name = tuple(queues)
        pace = self._paces[name]
        if pace.is_busy(time.monotonic()) and name not in self._more_waits:
            await asyncio.sleep(GATHER_SECONDS)
        async with conn.begin():
            owner = await _owner(conn)
            await _release_orphaned(conn, queues)
            token = UUID(bytes=owner.to_bytes(8, "big") + secrets.token_bytes(8))
            parameters = {"queues": list(queues), "limit": limit, "lease_ttl": lease_ttl_seconds, "token": token}
            rows = (await conn.execute(self._fetch_stmt, parameters)).mappings().all()
        pace.add(len(rows), time.monotonic())
        if len(rows) == limit:
            self._more_waits.add(name)
        else:
            self._more_waits.discard(name)
        # UPDATE ... RETURNING has no order.
        return sorted((_row_to_message(dict(row)) for row in rows), key=lambda row: (row.next_attempt_at, row.id))

    # Each worker writes the ends of its jobs on a connection of its own. After a death of the server that one is dead
    # until it is used: the job that finds this out was done, and would wait for the end of its lease, 150 s for a
    # recovery mail, and then perhaps be the next dead connection's. So the end is written on a new connection. The
    # error still goes to the worker, who then connects anew.

    async def delete_with_lease(
        self, conn: AsyncConnection | None, message_id: int, acquired_token: UUID, **more: Any
    ) -> bool:
        """Deletes a row that was worked off."""
        write = super().delete_with_lease
        return await self._written(conn, lambda c: write(c, message_id, acquired_token, **more))

    async def delete_batch_with_lease(
        self, conn: AsyncConnection | None, pairs: Sequence[tuple[int, UUID]]
    ) -> set[tuple[int, UUID]]:
        """Deletes rows that were worked off."""
        write = super().delete_batch_with_lease
        return await self._written(conn, lambda c: write(c, pairs))

    async def mark_pending_with_lease(
        self, conn: AsyncConnection | None, message_id: int, acquired_token: UUID, **more: Any
    ) -> bool:
        """Gives a row back for a later attempt."""
        write = super().mark_pending_with_lease
        return await self._written(conn, lambda c: write(c, message_id, acquired_token, **more))

    async def _written(
        self, conn: AsyncConnection | None, write: Callable[[AsyncConnection | None], Awaitable[Written]]
    ) -> Written:
        try:
            return await write(conn)
        except Exception as error:
            if classify(error) is Disposition.RETRY:
                await self._write_anew(write)
            raise

    async def _write_anew(self, write: Callable[[AsyncConnection | None], Awaitable[Any]]) -> None:
        for pause in _WRITE_PAUSES:
            await asyncio.sleep(pause)
            try:
                async with self.engine.begin() as fresh:
                    await write(fresh)
            except Exception as error:
                log.warning("outbox.end_not_written", error=type(error).__name__)
            else:
                return


async def _owner(conn: AsyncConnection) -> int:
    """The session's number. `info` lives and dies with the driver's connection, as the lock does with the session."""
    if (known := conn.info.get("lease_owner")) is not None:
        return int(known)
    owner = secrets.randbits(63)  # a positive bigint; the chance that two are alike is that of two UUIDs
    await conn.execute(_LOCK, {"owner": owner})
    conn.info["lease_owner"] = owner
    return owner


async def _release_orphaned(conn: AsyncConnection, queues: Sequence[str]) -> None:
    if time.monotonic() < conn.info.get("leases_looked_at", float("-inf")) + LOOK_SECONDS:
        return
    conn.info["leases_looked_at"] = time.monotonic()
    released = (await conn.execute(_RELEASE, {"queues": list(queues)})).rowcount
    if released:
        log.warning("outbox.leases_released", rows=released, queues=list(queues))
