"""The migrations make the tables that the code describes."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from services.enrichment.adapters.tables import enrichment
from shared.kit.db.engine import create_engine
from shared.kit.db.migrate import migrate_async
from shared.kit.db.tables import plumbing
from tests.engines import PostgresEngine


def _differences(connection: Connection) -> list[Any]:
    described = MetaData()
    for table in (*plumbing.sorted_tables, *enrichment.sorted_tables):
        table.to_metadata(described)
    ours = set(described.tables)

    def include(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or name in ours

    context = MigrationContext.configure(connection, opts={"include_object": include, "compare_type": True})
    return list(compare_metadata(context, described))


async def test_migrations_make_what_the_code_describes(postgres_engine: PostgresEngine) -> None:
    url = await postgres_engine.create("enrichment")
    await migrate_async("enrichment", url)
    await migrate_async("enrichment", url)  # again: nothing to do
    engine = create_engine(url, pool_size=1, application_name="test")
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()
