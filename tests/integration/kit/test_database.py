"""Units of work, the ledger and migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import importlib
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from shared.kit.db.engine import async_url, create_engine
from shared.kit.db.migrate import current, heads, migrate_async
from shared.kit.db.tables import create_plumbing
from shared.kit.db.unit import Database, Publication
from shared.kit.ledger import replay
from shared.kit.messaging.relay import create_outbox
from tests.engines import PostgresEngine
from tests.integration.kit.conftest import Toy

make = Toy.event


class Bench:
    """A database with the kit's tables and nothing running on it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = create_engine(url, pool_size=4, application_name="test")
        self.database = Database(self.engine, create_outbox(self.engine))

    async def rows(self, sql: str) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(text(sql))).all())


@pytest_asyncio.fixture
async def bench(postgres_engine: PostgresEngine) -> Any:
    made = Bench(await postgres_engine.create("bench"))
    async with made.engine.begin() as connection:
        await connection.run_sync(create_plumbing)
    yield made
    await made.engine.dispose()


def events(count: int) -> list[Any]:
    return [make(None) for _ in range(count)]  # type: ignore[arg-type]  # the builder needs nothing of its service


async def test_a_block_that_raises_leaves_nothing(bench: Bench) -> None:
    (event,) = events(1)

    async def fail_late() -> None:
        async with bench.database.begin() as unit:
            assert await unit.first_time(event)
            unit.publish(event, key="k")
            unit.enqueue("mail", {"id": 1})
            await unit.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_late()
    for table in ("inbox", "ledger", "outbox"):
        assert await bench.rows(f"SELECT 1 FROM {table}") == []
    async with bench.database.begin() as unit:
        assert await unit.first_time(event), "and it can still have its effect"


async def test_first_times_keep_the_order_and_count_each_once(bench: Bench) -> None:
    a, b, c, d = events(4)
    async with bench.database.begin() as unit:
        assert await unit.first_times([b]) == [b]
    async with bench.database.begin() as unit:
        assert await unit.first_times([d, b, a, d, c, a]) == [d, a, c]
        assert await unit.first_times([]) == []
    same_id_elsewhere = a.model_copy(update={"source": "/elsewhere"})
    async with bench.database.begin() as unit:
        assert await unit.first_times([a, same_id_elsewhere]) == [same_id_elsewhere]


async def test_of_two_at_once_only_one_is_first(bench: Bench) -> None:
    (event,) = events(1)

    async def mark() -> bool:
        async with bench.database.begin() as unit:
            return await unit.first_time(event)

    assert sorted(await asyncio.gather(*(mark() for _ in range(8)))) == [False] * 7 + [True]


async def test_many_publications_are_split_into_relay_batches(bench: Bench) -> None:
    made = events(1201)
    async with bench.database.begin() as unit:
        for event in made:
            unit.publish(event, key="k")
    rows = await bench.rows("SELECT convert_from(payload, 'UTF8')::jsonb -> 'ids' AS ids FROM outbox ORDER BY id")
    assert [len(row.ids) for row in rows] == [500, 500, 201]
    ids = [id_ for row in rows for id_ in row.ids]
    assert ids == sorted(set(ids))
    ledger = await bench.rows("SELECT event_id, topic FROM ledger ORDER BY id")
    assert [row.event_id for row in ledger] == [event.id for event in made]
    assert {row.topic for row in ledger} == {"readmit.identity.activity.v1"}


async def test_publishing_again_writes_nothing(bench: Bench) -> None:
    made = events(3)
    for _ in range(2):
        async with bench.database.begin() as unit:
            for event in [*made, *made]:
                unit.publish(event, key="k")
    assert len(await bench.rows("SELECT 1 FROM ledger")) == 3
    assert len(await bench.rows("SELECT 1 FROM outbox")) == 1


async def test_replay_takes_what_was_asked_for_in_batches(bench: Bench) -> None:
    made = events(703)
    async with bench.database.begin() as unit:
        for number, event in enumerate(made):
            topic = "one" if number < 600 else "two" if number < 700 else "two.toy.events.dlt"
            unit.publish_raw(replace(Publication.of(event, "k"), topic=topic))
    async with bench.engine.begin() as connection:
        await connection.execute(text("DELETE FROM outbox"))
    assert await replay(bench.url, topics=["one"]) == 600
    rows = await bench.rows("SELECT convert_from(payload, 'UTF8')::jsonb -> 'ids' AS ids FROM outbox ORDER BY id")
    assert [len(row.ids) for row in rows] == [500, 100]
    assert await replay(bench.url, topics=["two"], since=datetime.now(UTC) - timedelta(minutes=5)) == 100
    assert await replay(bench.url, since=datetime.now(UTC) + timedelta(minutes=5)) == 0
    assert await replay(bench.url, topics=["three"]) == 0
    assert await replay(bench.url) == 700  # dead letters only by name: nobody consumes those
    assert await replay(bench.url, topics=["two.toy.events.dlt"]) == 3


@pytest.mark.parametrize("url", ["mysql://a@b/c", "sqlite://", "http://x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="postgresql://"):
        async_url(url)


REVISION = '''
"""{revision}"""
import time
from alembic import op
revision, down_revision, branch_labels, depends_on = "{revision}", {down!r}, None, None
def upgrade():
    op.execute("CREATE TABLE t{revision} (id int)")
    op.execute("INSERT INTO runs VALUES ('{revision}')")
    op.execute("SELECT pg_sleep(0.3)")
    if {fails}:
        raise RuntimeError("this revision fails")
'''


def write_revision(folder: Path, revision: str, down: str | None, *, fails: bool = False) -> None:
    versions = folder / "kittest" / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (folder / "kittest" / "__init__.py").touch()
    (versions / f"{revision}.py").write_text(REVISION.format(revision=revision, down=down, fails=fails))


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service `kittest` that is nothing but migrations."""
    services = importlib.import_module("services")
    monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "services.kittest", raising=False)  # another test's
    write_revision(tmp_path, "0001", None)
    write_revision(tmp_path, "0002", "0001")
    importlib.invalidate_caches()
    return tmp_path


async def empty(postgres_engine: PostgresEngine) -> Bench:
    made = Bench(await postgres_engine.create("migrated"))
    async with made.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE runs (revision text)"))
    return made


async def test_two_migrations_at_once_wait_for_each_other(postgres_engine: PostgresEngine, migrations: Path) -> None:
    bench = await empty(postgres_engine)
    assert heads("kittest") == ("0002",)
    assert await current(bench.url) == ()
    await asyncio.gather(*(migrate_async("kittest", bench.url) for _ in range(3)))
    assert await current(bench.url) == ("0002",)
    assert [row.revision for row in await bench.rows("SELECT revision FROM runs")] == ["0001", "0002"]
    await migrate_async("kittest", bench.url)
    assert len(await bench.rows("SELECT 1 FROM runs")) == 2, "a second run does nothing"
    await bench.engine.dispose()


async def test_a_migration_that_fails_leaves_everything_as_it_was(
    postgres_engine: PostgresEngine, migrations: Path
) -> None:
    bench = await empty(postgres_engine)
    write_revision(migrations, "0003", "0002", fails=True)
    with pytest.raises(RuntimeError, match="this revision fails"):
        await migrate_async("kittest", bench.url)
    assert await current(bench.url) == ()
    assert await bench.rows("SELECT 1 FROM runs") == []
    write_revision(migrations, "0003", "0002")
    await migrate_async("kittest", bench.url)
    assert await current(bench.url) == heads("kittest") == ("0003",)
    await bench.engine.dispose()
