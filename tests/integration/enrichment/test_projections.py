"""Any order and any duplication of events ends in the same rows; and how many statements it takes."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from services.enrichment.adapters.enrichments import PostgresEnrichments
from services.enrichment.adapters.facts import PostgresFacts
from services.enrichment.adapters.freshness import ConsumerFreshness
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp
from services.enrichment.adapters.projections import PostgresProjections
from services.enrichment.adapters.tables import enrichment
from services.enrichment.usecases.enrich_request import EnrichRequest
from services.enrichment.usecases.project_events import ProjectEvents
from shared.kit.db.engine import create_engine
from shared.kit.db.migrate import migrate_async
from shared.kit.db.tables import plumbing
from shared.kit.db.unit import Database
from shared.kit.messaging.relay import create_outbox
from shared.schemas.envelope import Event
from tests.engines import PostgresEngine
from tests.unit.enrichment import builders as build
from tests.unit.enrichment.builders import HASHER, NOW

TABLES = [table for table in enrichment.sorted_tables if table.name not in {"requests", "waiting_requests"}]
LOCATE = GeoIp(GeoDatabase(None, "City", ""), GeoDatabase(None, "ASN", ""))


@pytest_asyncio.fixture(scope="module")
async def database(postgres_engine: PostgresEngine) -> AsyncIterator[Database]:
    url = await postgres_engine.create("projections")
    await migrate_async("enrichment", url)
    engine = create_engine(url, pool_size=2, application_name="test")
    yield Database(engine, create_outbox(engine))
    await engine.dispose()


async def project(database: Database, events: Sequence[Event[Any]]) -> None:
    """What the consumer does with a batch."""
    async with database.begin() as unit:
        new = await unit.first_times(events)
        await ProjectEvents(LOCATE, HASHER)(new, PostgresProjections(unit.connection))


async def rows(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    async with database.read() as connection:
        return {
            table.name: sorted((tuple(row) for row in await connection.execute(table.select())), key=repr)
            for table in TABLES
        }


async def empty(database: Database) -> None:
    async with database.begin() as unit:
        for table in (*enrichment.sorted_tables, *plumbing.sorted_tables):
            await unit.connection.execute(table.delete())  # TRUNCATE syncs files each time
        await unit.connection.execute(text("INSERT INTO feeds VALUES ('recovery', '2026-01-01T00:00:00Z')"))


_ACCOUNTS = st.sampled_from(["a", "b"])
# Few moments and ids, so that many events have the same: then the id decides.
_MOMENTS = st.integers(0, 6).map(lambda hours: NOW + timedelta(minutes=30 * hours))
_IPS = st.sampled_from([build.BERLIN, build.BERLIN_TOO, build.BERLIN_MOBILE, "10.0.0.1"])
_ADDRESSES = st.sampled_from(["a@example.org", "B@example.org", "ä@example.org", "c@example.org"])
_MAKERS: list[st.SearchStrategy[Event[Any]]] = [
    st.builds(
        build.an_account,
        _ACCOUNTS,
        _MOMENTS,
        email=_ADDRESSES,
        status=st.sampled_from(["active", "locked", "disabled"]),
        two_factor_enabled=st.booleans(),
        unused_backup_codes=st.integers(0, 3),
        locale=st.sampled_from([None, "de"]),
    ),
    st.builds(build.removed, _ACCOUNTS, _MOMENTS),
    st.builds(build.signed_in, _ACCOUNTS, _MOMENTS, _IPS),
    st.builds(build.failed, _ACCOUNTS, _MOMENTS, _IPS, st.sampled_from(["locked", "bad-password"])),
    st.builds(build.failed, st.none(), _MOMENTS, _IPS, email=_ADDRESSES),
    st.builds(build.email_changed, _ACCOUNTS, _ADDRESSES, _ADDRESSES, _MOMENTS),
    st.builds(build.two_factor_changed, _ACCOUNTS, st.sampled_from(["enrolled", "removed"]), _MOMENTS),
    st.builds(build.backup_codes_changed, _ACCOUNTS, st.just("used"), st.integers(0, 3), _MOMENTS),
    st.builds(build.locked, _ACCOUNTS, _MOMENTS),
    st.builds(build.unlocked, _ACCOUNTS, _MOMENTS),
    st.builds(build.password_changed, _ACCOUNTS, _MOMENTS),
    st.builds(build.access_email_sent, _ACCOUNTS, _MOMENTS),
    st.builds(build.code_sent, _ACCOUNTS, _MOMENTS),
]
# Rows only meet when account, address and kind do: half of the events are of the few that meet often.
_MEETING: list[st.SearchStrategy[Event[Any]]] = [
    st.builds(build.signed_in, st.just("a"), _MOMENTS),
    st.builds(build.failed, st.just("a"), _MOMENTS),
]
_EVENTS = st.lists(
    st.one_of(st.one_of(_MAKERS), st.one_of(_MEETING)), min_size=1, max_size=16, unique_by=lambda event: event.id
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=_EVENTS, seed=st.randoms(use_true_random=False))
async def test_any_order_and_duplication_ends_in_the_same_rows(
    database: Database, events: list[Event[Any]], seed: random.Random
) -> None:
    await empty(database)
    await project(database, events)
    expected = await rows(database)

    delivered = events + [seed.choice(events) for _ in range(seed.randint(0, len(events)))]
    seed.shuffle(delivered)
    await empty(database)
    while delivered:
        size = seed.randint(1, len(delivered))
        await project(database, delivered[:size])
        delivered = delivered[size:]
    assert await rows(database) == expected


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """The statements that are sent within the block."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    sqlalchemy_event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sqlalchemy_event.remove(database.engine.sync_engine, "before_cursor_execute", note)


async def enrich_one(database: Database, email: str) -> int:
    enrich = EnrichRequest(LOCATE, HASHER.all, ConsumerFreshness(), lambda: NOW)
    with statements(database) as sent:
        async with database.begin() as unit:
            facts, out = PostgresFacts(unit.connection, HASHER.all), PostgresEnrichments(unit)
            await enrich([build.asked(email, NOW)], facts, out)
    return len(sent)


async def test_enriching_takes_as_many_statements_whatever_the_history(database: Database) -> None:
    await empty(database)
    few = build.signed_in("few", build.before(days=1))
    many: list[Event[Any]] = [
        build.signed_in("many", build.before(minutes=minute), f"5.146.{minute % 64}.9") for minute in range(2000)
    ]
    many += [build.failed("many", build.before(minutes=minute)) for minute in range(2000)]
    await project(database, [build.an_account("few"), build.an_account("many"), few, *many])
    counts = {await enrich_one(database, f"{name}@example.org") for name in ("few", "many")}
    assert len(counts) == 1
    assert counts.pop() <= 12


async def test_a_batch_of_500_events_takes_a_handful_of_statements(database: Database) -> None:
    await empty(database)
    events: list[Event[Any]] = []
    for number in range(100):
        name = f"account-{number}"
        events += [
            build.an_account(name),
            build.signed_in(name),
            build.failed(name),
            build.password_changed(name),
            build.access_email_sent(name),
        ]
    with statements(database) as sent:
        await project(database, events)
    assert len(sent) / len(events) <= 0.05
