"""Fixtures for tests on real engines. Each test has databases and topics of its own, so that any order is fine."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.engines import PostgresEngine, kafka, postgres

CreateTopics = Callable[..., Awaitable[list[str]]]


@pytest_asyncio.fixture(scope="session")
async def postgres_engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PostgresEngine]:
    async with postgres(Path(tmp_path_factory.mktemp("postgres"))) as engine:
        yield engine


@pytest_asyncio.fixture(scope="session")
async def kafka_servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[str]]:
    async with kafka(Path(tmp_path_factory.mktemp("kafka"))) as servers:
        yield servers


@pytest_asyncio.fixture
async def create_topics(kafka_servers: list[str]) -> AsyncIterator[CreateTopics]:
    """Creates topics with unique names, three partitions each."""

    async def create(*prefixes: str) -> list[str]:
        names = [f"{prefix}-{secrets.token_hex(4)}" for prefix in prefixes]
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, 3, 1) for name in names])
        finally:
            await admin.close()
        return names

    yield create
