"""Making a service's projections anew from the publishers' ledgers.

The old tables stay until the new ones are complete. They grow beside them as temporary tables of the same names, which
this session sees instead of the old ones: the very statements that the consumer writes with write there too. A crash in
the middle leaves the old, and nothing to clean up.

What is folded is what this service has consumed by its inbox, and what it published itself by its own ledger: what is
still on its way has its effect when it arrives, as always, and once. So the service may run meanwhile. At the end its
writers wait, for as long as it takes to fold what they wrote since the beginning, to compare, and to put the new rows
in the place of the old, in one transaction.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn

from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.kit.db.digest import digest
from shared.kit.db.engine import async_url
from shared.kit.db.unit import Publication, UnitOfWork
from shared.kit.messaging.relay import create_outbox
from shared.kit.projection import Outcome, Projection, RebuildError, TableOutcome
from shared.schemas.envelope import Event
from shared.schemas.registry import decode

BATCH = 2000  # events folded in one transaction; a consumer's 500 would take four times the statements
LOCK_ATTEMPTS, LOCK_PAUSE = 60, 0.5
# Shorter than PostgreSQL's deadlock_timeout (1 s): it is we who give way, and never a request of the service.
_LOCK_TIMEOUT = "400ms"
_LOCK_NOT_AVAILABLE = "55P03"


class _FoldingUnit(UnitOfWork):
    """A unit of work in which nothing may be said: all of it was said when the events happened."""

    def publish(self, event: Event[Any], *, key: str) -> None:
        _refuse(event.type)

    def publish_raw(self, publication: Publication) -> None:
        _refuse(publication.type)

    def enqueue(self, queue: str, *_: Any, **__: Any) -> None:
        _refuse(queue)


def _refuse(what: str) -> NoReturn:
    raise AssertionError(f"a projection published {what}")


_PAGE = """
    SELECT id, source, event_id, type, CASE WHEN type = ANY(CAST(:types AS text[])) THEN value END AS value
    FROM ledger WHERE id > :after ORDER BY id LIMIT :limit
"""
_BY_KEY = """
    SELECT source, event_id, type, CASE WHEN type = ANY(CAST(:types AS text[])) THEN value END AS value
    FROM ledger JOIN unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS wanted (source, event_id)
    USING (source, event_id)
"""
_FOLDED = "CREATE TEMP TABLE rebuilt_events (source text, event_id text, PRIMARY KEY (source, event_id))"
_MARK_CONSUMED = """
    INSERT INTO rebuilt_events SELECT source, event_id
    FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS said (source, event_id)
    JOIN inbox USING (source, event_id) ON CONFLICT DO NOTHING RETURNING source, event_id
"""
_MARK_PUBLISHED = """
    INSERT INTO rebuilt_events SELECT source, event_id FROM ledger
    WHERE type = ANY(CAST(:types AS text[])) AND NOT EXISTS (
        SELECT 1 FROM rebuilt_events AS done WHERE done.source = ledger.source AND done.event_id = ledger.event_id)
    LIMIT :limit ON CONFLICT DO NOTHING RETURNING source, event_id
"""
_LEFT = """
    SELECT source, event_id FROM inbox WHERE NOT EXISTS (
        SELECT 1 FROM rebuilt_events AS done WHERE done.source = inbox.source AND done.event_id = inbox.event_id)
"""


async def rebuild(
    projection: Projection,
    database_url: str,
    publishers: Mapping[str, str],
    *,
    check: bool = False,
    allow_unknown: bool = False,
    batch: int = BATCH,
    on_progress: Callable[[str], Awaitable[None]] | None = None,
) -> Outcome:
    """Makes the projection anew.

    Args:
        database_url: the service's own database.
        publishers: service to database, of all that the projection names; in which order doesn't matter.
        check: only compare; nothing is changed.
        allow_unknown: go on where the service consumed events that no ledger holds any more.
        batch: events in one transaction.
        on_progress: told where it is, by a word; tests stop it there.

    Raises:
        RebuildError: nothing was changed.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_connected(database_url))
        ledgers = {name: await stack.enter_async_context(_connected(publishers[name])) for name in publishers}
        return await _Rebuild(projection, connection, ledgers, batch, on_progress).run(check, allow_unknown)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine: AsyncEngine = create_async_engine(
        async_url(url),
        pool_size=1,
        hide_parameters=True,
        connect_args={"timeout": 10, "server_settings": {"application_name": "readmit-rebuild", "jit": "off"}},
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


class _Rebuild:
    def __init__(
        self,
        projection: Projection,
        connection: AsyncConnection,
        ledgers: Mapping[str, AsyncConnection],
        batch: int,
        on_progress: Callable[[str], Awaitable[None]] | None,
    ) -> None:
        self._projection = projection
        self._connection = connection
        self._ledgers = ledgers
        self._batch = batch
        self._on_progress = on_progress
        self._unit = _FoldingUnit(connection, create_outbox(connection.engine))
        self._outcome = Outcome(projection.service)
        self._live: dict[str, str] = {}
        self._columns: dict[str, list[str]] = {}

    async def run(self, check: bool, allow_unknown: bool) -> Outcome:
        started = time.monotonic()
        async with self._connection.begin():
            await self._create_beside()
        for ledger in self._ledgers.values():
            await self._fold_ledger(ledger)
        while await self._fold_published():
            pass
        async with self._connection.begin():
            await self._projection.settle(self._unit)
        await self._tell("beside")
        async with self._locked() as transaction:
            held = time.monotonic()
            await self._fold_left(allow_unknown)
            await self._tell("folded")
            await self._compare()
            if not check:
                await self._replace()
                await self._tell("replaced")
                await transaction.commit()
        self._outcome.held_seconds = time.monotonic() - held
        self._outcome.seconds = time.monotonic() - started
        return self._outcome

    async def _tell(self, where: str) -> None:
        if self._on_progress is not None:
            await self._on_progress(where)

    async def _create_beside(self) -> None:
        for table in self._projection.tables:
            row = (
                await self._connection.execute(
                    text("""
                        SELECT quote_ident(c.relname) AS name, quote_ident(n.nspname) AS schema
                        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                        WHERE c.oid = to_regclass(:name)
                    """),
                    {"name": table.name},
                )
            ).one()
            live = self._live[table.name] = f"{row.schema}.{row.name}"
            names = (
                await self._connection.execute(
                    text("""
                        SELECT quote_ident(attname) FROM pg_attribute
                        WHERE attrelid = to_regclass(:live) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
                    """),
                    {"live": live},
                )
            ).scalars()
            wanted = table.projected or tuple(name for name in names if name not in table.left_out)
            self._columns[table.name] = list(wanted)
            await self._connection.execute(text(f"CREATE TEMP TABLE {table.name} (LIKE {live} INCLUDING ALL)"))
        await self._connection.execute(text(_FOLDED))

    async def _fold_ledger(self, ledger: AsyncConnection) -> None:
        after, types = 0, list(self._projection.consumed)
        while True:
            parameters = {"types": types, "after": after, "limit": self._batch}
            rows = (await ledger.execute(text(_PAGE), parameters)).all()
            await ledger.rollback()  # a snapshot that is kept holds up the vacuum of a busy service
            if not rows:
                return
            after = rows[-1].id
            async with self._connection.begin():
                await self._fold_consumed(rows)

    async def _fold_consumed(self, rows: Sequence[Row[Any]]) -> None:
        parameters = {"sources": [row.source for row in rows], "ids": [row.event_id for row in rows]}
        marked = await self._connection.execute(text(_MARK_CONSUMED), parameters)
        new = {(row.source, row.event_id) for row in marked}
        await self._fold([row for row in rows if (row.source, row.event_id) in new])

    async def _fold_published(self) -> bool:
        """Folds a batch of what the service published itself; False when there was nothing left."""
        types = list(self._projection.published)
        async with AsyncExitStack() as stack:
            if not self._connection.in_transaction():
                await stack.enter_async_context(self._connection.begin())
            parameters = {"types": types, "limit": self._batch}
            keys = (await self._connection.execute(text(_MARK_PUBLISHED), parameters)).all()
            wanted = {"types": types, "sources": [key.source for key in keys], "ids": [key.event_id for key in keys]}
            await self._fold((await self._connection.execute(text(_BY_KEY), wanted)).all())
            return bool(keys)

    async def _fold(self, rows: Sequence[Row[Any]]) -> None:
        events: list[Event[Any]] = [decode(bytes(row.value)) for row in rows if row.value is not None]  # type: ignore[misc]
        if events:
            await self._projection.fold(events, self._unit)
            self._outcome.events += len(events)

    @asynccontextmanager
    async def _locked(self) -> AsyncIterator[Any]:
        """A transaction in which nobody else writes; the inbox first, as the consumer does."""
        names = ", ".join(["inbox", *self._live.values()])
        for attempt in range(LOCK_ATTEMPTS):
            transaction = await self._connection.begin()
            try:
                await self._connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
                # Reading goes on, and so does locking a row for later.
                await self._connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
            except DBAPIError as error:
                await transaction.rollback()
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                await asyncio.sleep(LOCK_PAUSE * min(attempt + 1, 4))
                continue
            try:
                yield transaction
            finally:
                if transaction.is_active:
                    await transaction.rollback()
            return
        raise RebuildError(
            f"{self._projection.service}: its tables are never free for a moment; stop the service first"
        )

    async def _fold_left(self, allow_unknown: bool) -> None:
        """What was consumed and published since this began, and what was written into a ledger late."""
        left = [(row.source, row.event_id) for row in await self._connection.execute(text(_LEFT))]
        for start in range(0, len(left), self._batch):
            part = left[start : start + self._batch]
            wanted = {
                "types": list(self._projection.consumed),
                "sources": [source for source, _ in part],
                "ids": [event_id for _, event_id in part],
            }
            found = 0
            for ledger in self._ledgers.values():
                rows = (await ledger.execute(text(_BY_KEY), wanted)).all()
                await ledger.rollback()
                await self._fold_consumed(rows)
                found += len(rows)
            self._outcome.unknown += len(part) - found
        if self._outcome.unknown and not allow_unknown:
            raise RebuildError(
                f"{self._projection.service} consumed {self._outcome.unknown} events that no ledger holds. What they"
                " said would be lost; --allow-unknown accepts that"
            )
        while await self._fold_published():
            pass
        await self._projection.settle(self._unit)

    async def _compare(self) -> None:
        for table in self._projection.tables:
            columns = self._columns[table.name]
            self._outcome.tables.append(
                TableOutcome(
                    table.name,
                    before=await digest(self._connection, self._live[table.name], columns, where=table.where),
                    after=await digest(self._connection, f"pg_temp.{table.name}", columns, where=table.where),
                )
            )

    async def _replace(self) -> None:
        """Old rows for new, in the tables that differ."""
        different = {outcome.table for outcome in self._outcome.tables if not outcome.equal}
        for table in self._projection.tables:
            if table.name not in different:
                continue
            live, names = self._live[table.name], ", ".join(self._columns[table.name])
            insert = f"INSERT INTO {live} ({names}) SELECT {names} FROM pg_temp.{table.name} WHERE {table.where}"  # noqa: S608
            if table.projected:
                values = [name for name in table.projected if name not in table.key]
                assignments = ", ".join(f"{name} = excluded.{name}" for name in values)
                insert += f" ON CONFLICT ({', '.join(table.key)}) DO UPDATE SET {assignments}"
            else:
                await self._connection.execute(text(f"DELETE FROM {live} WHERE {table.where}"))  # noqa: S608
                insert += f' ORDER BY CAST(ROW({names}) AS text) COLLATE "C"'
            await self._connection.execute(text(insert))
