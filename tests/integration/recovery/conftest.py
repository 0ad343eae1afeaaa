"""One service for most tests, each of which has accounts of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.engines import PostgresEngine
from tests.integration.recovery.desk import Recovery, running_recovery
from tests.integration.recovery.smtp_sink import Sink, smtp_sink


@pytest.fixture(scope="package")
def sink() -> Iterator[Sink]:
    with smtp_sink() as sink:
        yield sink


@pytest_asyncio.fixture(scope="package")
async def recovery(
    postgres_engine: PostgresEngine, kafka_servers: list[str], sink: Sink, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Recovery]:
    folder: Path = tmp_path_factory.mktemp("recovery")
    async with running_recovery(
        postgres_engine, kafka_servers, sink, folder, READMIT_RECOVERY_LIMIT_NETWORK=""
    ) as running:
        yield running
