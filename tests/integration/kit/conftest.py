"""A small service on the kit: its database, its outbox and relay, and one consumer group."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text

from shared.kit.clock import uuid7
from shared.kit.db.tables import create_plumbing
from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.events import EventProcessor, Handlers, Pauses
from shared.kit.service import Plumbing
from shared.kit.settings import ServiceSettings
from shared.schemas.identity import PasswordChanged, PasswordChangedData
from tests.conftest import CreateTopics
from tests.engines import KAFKA, PostgresEngine, kafka_settings


class ToySettings(ServiceSettings):
    service: ClassVar[str] = "toy"


@dataclass
class Toy:
    """The running service and what its handler saw."""

    plumbing: Plumbing
    topic: str
    group: str
    servers: list[str]
    seen: list[str] = field(default_factory=list)
    on_event: Callable[[PasswordChanged, UnitOfWork], Awaitable[None]] | None = None

    def event(self, **changes: Any) -> PasswordChanged:
        values = {"id": uuid7(), "source": "/test", "time": datetime.now(UTC), "subject": "a-1"} | changes
        return PasswordChanged(data=PasswordChangedData(account_id="a-1"), **values)

    async def rows(self, sql: str) -> list[Any]:
        async with self.plumbing.database.read() as connection:
            return list((await connection.execute(text(sql))).all())


async def wait_for(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Waits until the condition holds, at most so long."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert asyncio.get_running_loop().time() < end, "the condition did not come true"
        await asyncio.sleep(0.02)


def toy_settings(database_url: str, servers: list[str], kafka: str = KAFKA) -> ToySettings:
    return ToySettings.load(
        {
            "READMIT_TOY_DATABASE_URL": database_url,
            "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
            **kafka_settings(servers, kafka),
        }
    )


@asynccontextmanager
async def running_toy(settings: ToySettings, topic: str) -> AsyncIterator[Toy]:
    """The service, on a database that may be empty."""
    plumbing = Plumbing.build(settings)
    async with plumbing.engine.begin() as connection:
        await connection.run_sync(create_plumbing)
        await connection.execute(text("CREATE TABLE IF NOT EXISTS seen (event_id text NOT NULL)"))
    toy = Toy(plumbing, topic, f"toy.events-{secrets.token_hex(3)}", list(settings.kafka_bootstrap_servers))
    handlers = Handlers()

    @handlers.on(PasswordChanged)
    async def on_password_changed(event: PasswordChanged, unit: UnitOfWork) -> None:
        toy.seen.append(event.id)
        await unit.connection.execute(text("INSERT INTO seen VALUES (:id)"), {"id": event.id})
        if toy.on_event is not None:
            await toy.on_event(event, unit)

    processor = EventProcessor(toy.group, plumbing.database, handlers, pauses=Pauses(0.02, 0.1))
    consumer = RecordConsumer(toy.group, processor)
    processor.stopping = consumer.stopping
    plumbing.consume(consumer, topics=[topic])
    async with plumbing.running(FastAPI()):
        await wait_for(lambda: toy.plumbing.link.started.is_set())
        yield toy


@pytest_asyncio.fixture
async def toy(
    postgres_engine: PostgresEngine, kafka_servers: list[str], create_topics: CreateTopics
) -> AsyncIterator[Toy]:
    (topic,) = await create_topics("toy")
    async with running_toy(toy_settings(await postgres_engine.create("toy"), kafka_servers), topic) as running:
        yield running
