"""Requests that were put aside are worked off many at a time, and one that can't be holds up no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

import pytest_asyncio
from sqlalchemy import text

from services.enrichment.adapters.enrichments import PostgresEnrichments
from services.enrichment.adapters.facts import PostgresFacts
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp
from services.enrichment.adapters.waiting import WaitingRequests
from services.enrichment.ports import Freshness
from services.enrichment.usecases.enrich_request import EnrichRequest
from shared.kit.db.engine import create_engine
from shared.kit.db.migrate import migrate_async
from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.messaging.relay import create_outbox
from shared.schemas.intake import AssistanceRequested
from tests.engines import PostgresEngine
from tests.unit.enrichment.builders import BERLIN, HASHER, asked

LOCATE = GeoIp(GeoDatabase(None, "City", ""), GeoDatabase(None, "ASN", ""))


class Consumer:
    """At work all the time, as with a backlog: what was read settles once a batch."""

    def __init__(self) -> None:
        self.batches = 0

    async def __call__(self) -> bool:
        return True

    async def until_settled(self) -> None:
        self.batches += 1


@pytest_asyncio.fixture
async def database(postgres_engine: PostgresEngine) -> AsyncIterator[Database]:
    url = await postgres_engine.create("waiting")
    await migrate_async("enrichment", url)
    engine = create_engine(url, pool_size=2, application_name="test")
    yield Database(engine, create_outbox(engine))
    await engine.dispose()


def waiting_on(database: Database, consumer: Consumer) -> WaitingRequests:
    def now() -> datetime:
        return datetime.now(UTC)

    def facts_of(unit: UnitOfWork) -> PostgresFacts:
        return PostgresFacts(unit.connection, HASHER.all)

    freshness = cast("Freshness", consumer)
    return WaitingRequests(database, EnrichRequest(LOCATE, HASHER.all, freshness, now), facts_of, freshness, now)


async def put_aside(database: Database, count: int) -> list[AssistanceRequested]:
    requests = [asked(f"nobody-{number}@example.org", datetime.now(UTC), BERLIN) for number in range(count)]
    async with database.begin() as unit:
        await PostgresEnrichments(unit).wait(requests, due_at=datetime.now(UTC))
    return requests


async def rows(database: Database, sql: str) -> list[Any]:
    async with database.read() as connection:
        return list((await connection.execute(text(sql))).all())


async def enriched(database: Database) -> list[str]:
    published = await rows(
        database, "SELECT convert_from(value, 'UTF8')::jsonb -> 'data' ->> 'reference_id' FROM ledger ORDER BY 1"
    )
    return [row[0] for row in published]


async def test_a_backlog_costs_one_wait_for_the_consumer_and_not_one_a_request(database: Database) -> None:
    """Found by the fault test: while a broker was refilled, requests came out of here one a batch of the consumer's."""
    requests = await put_aside(database, 60)
    consumer = Consumer()
    assert await waiting_on(database, consumer).work_off() == 60
    assert consumer.batches == 1
    assert await enriched(database) == sorted(request.data.reference_id for request in requests)
    assert await rows(database, "SELECT 1 FROM waiting_requests") == []
    assert await waiting_on(database, consumer).work_off() == 0


async def test_one_that_can_not_be_enriched_waits_and_holds_up_no_other(database: Database) -> None:
    requests = await put_aside(database, 10)
    broken = requests[4]
    async with database.begin() as unit:
        await unit.connection.execute(
            text("UPDATE waiting_requests SET event = '{}' WHERE event_id = :id"), {"id": broken.id}
        )
    await waiting_on(database, Consumer()).work_off()
    assert await enriched(database) == sorted(
        request.data.reference_id for request in requests if request is not broken
    )
    left = await rows(database, "SELECT event_id, due_at > now() + interval '5 seconds' FROM waiting_requests")
    assert [tuple(row) for row in left] == [(broken.id, True)]
