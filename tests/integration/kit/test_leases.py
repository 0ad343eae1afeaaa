"""What a killed process had fetched is worked off at once, and what a living one works on is left to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
from faststream_outbox.client import OutboxClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.kit.db.engine import create_engine
from shared.kit.db.tables import create_plumbing, outbox
from shared.kit.db.unit import Database
from shared.kit.messaging import leases
from shared.kit.messaging.leases import SessionLeases
from shared.kit.messaging.relay import create_outbox
from tests.engines import PostgresEngine
from tests.integration.kit.conftest import wait_for

LEASE = 600.0  # seconds: whoever gets the row before did not wait for this


@dataclass
class Worker:
    """One process of the service: a session that fetches."""

    client: OutboxClient
    connection: AsyncConnection
    pid: int  # of its PostgreSQL backend

    async def fetch(self) -> list[int]:
        rows = await self.client.fetch(self.connection, ["mail"], limit=5, lease_ttl_seconds=LEASE)
        return [row.id for row in rows]


@dataclass
class Office:
    """A database with one job in its outbox, and its processes."""

    engine: AsyncEngine
    database: Database
    stack: AsyncExitStack

    async def worker(self, kind: type[OutboxClient] = SessionLeases) -> Worker:
        plain = await self.stack.enter_async_context(self.engine.connect())
        connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
        pid = (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        await connection.rollback()
        return Worker(kind(self.engine, outbox), connection, pid)

    async def kill(self, *pids: int) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM unnest(CAST(:pids AS int[])) AS pid"), {"pids": list(pids)}
            )

    async def enqueue(self, number: int = 1) -> None:
        async with self.database.begin() as unit:
            unit.enqueue("mail", {"id": number})


@pytest_asyncio.fixture
async def office(postgres_engine: PostgresEngine) -> AsyncIterator[Office]:
    engine = create_engine(await postgres_engine.create("leases"), pool_size=8, application_name="test")
    async with engine.begin() as connection:
        await connection.run_sync(create_plumbing)
    async with AsyncExitStack() as stack:
        yield Office(engine, Database(engine, create_outbox(engine)), stack)
    await engine.dispose()


async def test_the_rows_of_a_killed_process_go_to_the_next(office: Office) -> None:
    await office.enqueue()
    killed = await office.worker()
    (job,) = await killed.fetch()
    await office.kill(killed.pid)
    successor = await office.worker()
    found: list[int] = []

    async def gets_it() -> bool:
        found.extend(await successor.fetch())
        return bool(found)

    await wait_for(gets_it, 8)
    assert found == [job]


async def test_the_rows_of_a_living_process_are_left_to_it(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LOOK_SECONDS", 0.0)
    await office.enqueue()
    slow = await office.worker()
    assert len(await slow.fetch()) == 1
    other = await office.worker()
    await asyncio.sleep(2.5)  # longer than the grace after which an orphaned lease would be gone
    assert await other.fetch() == []
    # The living one's own looks don't take it from itself either.
    assert await slow.fetch() == []
    # The twin without any lock under its leases is taken for dead, so this test does look.
    assert await (await office.worker(OutboxClient)).fetch() == []
    await office.enqueue()
    careless = await office.worker(OutboxClient)
    (job,) = await careless.fetch()
    await asyncio.sleep(2.5)
    assert await other.fetch() == [job]


async def test_a_lease_without_a_session_of_its_own_waits_for_its_end(office: Office) -> None:
    """The library's way, and why ours is not."""
    await office.enqueue()
    killed = await office.worker(OutboxClient)
    assert len(await killed.fetch()) == 1
    await office.kill(killed.pid)
    await asyncio.sleep(2.5)
    assert await (await office.worker(OutboxClient)).fetch() == []


async def test_the_outbox_is_back_soon_however_often_the_database_went_away(office: Office) -> None:
    done: set[int] = set()  # a job whose end was not written comes again
    broker = create_outbox(office.engine)

    @broker.subscriber("mail", max_workers=1, min_fetch_interval=0.1, max_fetch_interval=0.5, lease_ttl_seconds=LEASE)
    async def work(job: dict[str, Any]) -> None:
        done.add(job["id"])

    await broker.start()
    try:
        for number in range(1, 6):
            await _enqueue_surely(office, number)
            # The library's own pauses are 1, 2, 4, 8 and 16 s by then.
            await wait_for(partial(_has, done, number), 7)
            await _drop_all_but_one(office)
        await _enqueue_surely(office, 6)
        await wait_for(partial(_has, done, 6), 7)
    finally:
        await broker.stop()


async def test_a_job_that_was_done_is_gone_though_its_worker_has_to_connect_anew(office: Office) -> None:
    """Workers that were idle when the server died find out when they write the end of their next job."""
    done: set[int] = set()
    broker = create_outbox(office.engine)

    @broker.subscriber("mail", max_workers=3, min_fetch_interval=0.1, max_fetch_interval=0.5, lease_ttl_seconds=LEASE)
    async def work(job: dict[str, Any]) -> None:
        done.add(job["id"])

    async def empty() -> bool:
        async with office.engine.connect() as connection:
            return not (await connection.execute(text("SELECT count(*) FROM outbox"))).scalar_one()

    await broker.start()
    try:
        for number in range(1, 4):
            await office.enqueue(number)
        await wait_for(empty)
        await _drop_all_but_one(office)
        for number in range(4, 10):
            await _enqueue_surely(office, number)
        await wait_for(empty, 12)
        assert done == set(range(1, 10))
    finally:
        await broker.stop()


async def _enqueue_surely(office: Office, number: int) -> None:
    for _ in range(20):
        try:
            return await office.enqueue(number)
        except DBAPIError:  # one of the dropped connections
            await asyncio.sleep(0.05)
    raise AssertionError("not enqueued")


def _has(done: set[int], number: int) -> bool:
    return number in done


async def _drop_all_but_one(office: Office) -> None:
    async with office.engine.connect() as connection:
        await connection.execute(
            text("""
                SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
            """)
        )
