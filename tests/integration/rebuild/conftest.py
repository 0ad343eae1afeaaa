"""Four services on databases of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.engines import PostgresEngine
from tests.integration.rebuild.living import Living, living

Services = dict[str, Living]


@pytest_asyncio.fixture(scope="session")
async def databases(postgres_engine: PostgresEngine) -> AsyncIterator[Services]:
    found = {name: await living(postgres_engine, name) for name in ("intake", "enrichment", "notifier", "recovery")}
    yield found
    for one in found.values():
        await one.database.engine.dispose()


@pytest_asyncio.fixture
async def services(databases: Services) -> Services:
    """The same, empty."""
    for one in databases.values():
        await one.empty()
    return databases
