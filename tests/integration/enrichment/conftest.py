"""Enrichment as a whole service on a real broker and a real PostgreSQL, and what feeds it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.demo.geoip import ensure
from services.enrichment.bootstrap import bootstrap
from services.enrichment.settings import EnrichmentSettings
from shared.kit.db.migrate import migrate_async
from shared.kit.messaging.topics import apply_topics
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.registry import decode
from shared.schemas.topics import Topic, topic_of
from tests.engines import PostgresEngine, kafka, kafka_settings

HASH_KEY = base64.b64encode(b"k" * 32).decode()
ISSUER = "https://issuer.example.org"
TOPICS_FILE = Path(__file__).parents[3] / "deploy" / "kafka" / "topics.yaml"


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


@dataclass
class Running:
    """The running service, seen from outside."""

    app: FastAPI
    client: httpx.AsyncClient
    database: asyncpg.Connection
    producer: AIOKafkaProducer
    output: AIOKafkaConsumer
    tokens: Callable[[str], str]

    async def send(self, *events: Event[Any]) -> None:
        """Publishes events, as intake's and recovery's relays do."""
        for event in events:
            await self.send_raw(topic_of(event.type).value, event.to_bytes(), event.subject or event.id)

    async def send_raw(self, topic: str, value: bytes, key: str = "k") -> None:
        await self.producer.send_and_wait(topic, value, key=key.encode())

    async def until_consumed(self, *events: Event[Any]) -> None:
        async def consumed() -> bool:
            ids = [event.id for event in events]
            found = await self.database.fetchval("SELECT count(*) FROM inbox WHERE event_id = ANY($1)", ids)
            return bool(found == len(set(ids)))

        await wait_for(consumed)

    async def project(self, *events: Event[Any]) -> None:
        await self.send(*events)
        await self.until_consumed(*events)

    async def enriched(self, reference_id: str, seconds: float = 15) -> AssistanceEnriched:
        """Waits for the enriched event of a request."""
        end = asyncio.get_running_loop().time() + seconds
        while (remaining := end - asyncio.get_running_loop().time()) > 0:
            try:
                record = await asyncio.wait_for(self.output.getone(), remaining)
            except TimeoutError:
                break
            event = decode(record.value)
            if isinstance(event, AssistanceEnriched) and event.data.reference_id == reference_id:
                assert record.key == reference_id.encode()
                return event
        raise AssertionError("no enriched event")

    async def context(self, account_id: str, scope: str = "readmit.recover") -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens(scope)}"}
        return await self.client.get(f"/v1/accounts/{account_id}/context", headers=headers)


@pytest.fixture(scope="session")
def geoip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The demo's City and ASN databases."""
    return ensure(tmp_path_factory.mktemp("geoip"))


@pytest.fixture(scope="session")
def signing_key() -> ECKey:
    return ECKey.generate_key("P-256", {"kid": "test"})


def settings_of(url: str, servers: list[str], jwks: Path, **more: str) -> EnrichmentSettings:
    return EnrichmentSettings.load(
        {
            "READMIT_ENRICHMENT_DATABASE_URL": url,
            "READMIT_HASH_KEY": HASH_KEY,
            "READMIT_AUTH_JWKS": str(jwks),
            "READMIT_AUTH_ISSUER": ISSUER,
            **kafka_settings(servers),
            **more,
        }
    )


@asynccontextmanager
async def running(settings: EnrichmentSettings, servers: list[str], key: ECKey) -> AsyncIterator[Running]:
    """Runs the service until the block ends."""

    def token(scope: str) -> str:
        claims = {
            "iss": ISSUER, "aud": "readmit", "sub": "admin-1", "scope": scope,
            "exp": int((datetime.now(UTC) + timedelta(hours=1)).timestamp()),
        }  # fmt: skip
        return jwt.encode({"alg": "ES256", "kid": "test"}, claims, key)

    app = bootstrap(settings)
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    output = AIOKafkaConsumer(
        Topic.ASSISTANCE_ENRICHED.value, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=50
    )
    await producer.start()
    await output.start()
    database = await asyncpg.connect(settings.database_url)
    transport = httpx.ASGITransport(app=app)
    try:
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url="http://t") as web:
            service = Running(app, web, database, producer, output, token)
            await wait_for(lambda: _is_ready(web), 30)
            yield service
    finally:
        await database.close()
        await output.stop()
        await producer.stop()


async def _is_ready(client: httpx.AsyncClient) -> bool:
    return (await client.get("/health/ready")).status_code == 200


@asynccontextmanager
async def fresh_service(
    postgres_engine: PostgresEngine, folder: Path, key: ECKey, **more: str
) -> AsyncIterator[Running]:
    """A service with a broker and a database of its own: what others published would be news to it too."""
    async with kafka(folder) as servers:
        await apply_topics(servers, TOPICS_FILE)
        url = await postgres_engine.create("enrichment")
        await migrate_async("enrichment", url)
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [key.as_dict(private=False, kid="test")]}))
        async with running(settings_of(url, servers, jwks, **more), servers, key) as service:
            yield service


@pytest_asyncio.fixture(scope="module")
async def service(
    postgres_engine: PostgresEngine,
    geoip: tuple[Path, Path],
    signing_key: ECKey,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Running]:
    """One service a module, with the demo's GeoIP: tests use accounts of their own."""
    more = {"READMIT_GEOIP_CITY": str(geoip[0]), "READMIT_GEOIP_ASN": str(geoip[1])}
    folder = tmp_path_factory.mktemp("enrichment")
    async with fresh_service(postgres_engine, folder, signing_key, **more) as service:
        yield service


@pytest_asyncio.fixture
async def empty_service(postgres_engine: PostgresEngine, signing_key: ECKey, tmp_path: Path) -> AsyncIterator[Running]:
    """A service that has seen nothing yet, without GeoIP."""
    async with fresh_service(postgres_engine, tmp_path, signing_key) as service:
        yield service
