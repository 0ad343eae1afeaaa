"""Intake on a real PostgreSQL and a real broker, asked over ASGI from whatever address a test likes."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from services.intake.bootstrap import bootstrap
from services.intake.settings import IntakeSettings
from shared.kit.clock import utc_now
from shared.kit.db.migrate import migrate_async
from shared.kit.messaging.topics import apply_topics
from tests.engines import PostgresEngine, kafka_settings

ISSUER = "https://id.example.org"
LIMITS_OFF = {
    "READMIT_INTAKE_LIMIT_NETWORK": "",
    "READMIT_INTAKE_LIMIT_ADDRESS": "",
    "READMIT_INTAKE_LIMIT_ADDRESS_TOTAL": "",
    "READMIT_INTAKE_LIMIT_TOTAL": "",
}
TOPICS = Path(__file__).parents[3] / "deploy" / "kafka" / "topics.yaml"


class Clock:
    """The time, moved by tests."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class Issuer:
    """The identity platform's keys, as a file."""

    def __init__(self, folder: Path) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "test"})
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}))

    def token(self, scope: str, subject: str = "platform", **claims: Any) -> str:
        content = {
            "iss": ISSUER,
            "aud": "readmit",
            "sub": subject,
            "exp": int((datetime.now(UTC) + timedelta(hours=1)).timestamp()),
            "scope": scope,
        } | claims
        return jwt.encode({"alg": "ES256", "kid": "test", "typ": "at+jwt"}, content, self._key)


@dataclass
class Intake:
    """A running intake."""

    app: FastAPI
    database_url: str
    servers: list[str]
    issuer: Issuer
    clock: Clock
    stop: Callable[[], Awaitable[None]]
    """As SIGTERM does; otherwise it stops with the test."""
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, address: str = "203.0.113.7", **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 40_000))
        client = httpx.AsyncClient(transport=transport, base_url="http://intake.test", headers=headers)
        self._clients.append(client)
        return client

    def platform(self, scope: str = "readmit.requests readmit.events", **claims: Any) -> httpx.AsyncClient:
        return self.client("198.51.100.1", Authorization=f"Bearer {self.issuer.token(scope, **claims)}")

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def events(self, *types: str) -> list[dict[str, Any]]:
        """The ledger's events of these types (all: none named), oldest first."""
        rows = await self.rows("SELECT type, value FROM ledger ORDER BY id")
        return [json.loads(row["value"]) for row in rows if not types or row["type"] in types]


StartIntake = Callable[..., Awaitable[Intake]]


def settings_environment(database_url: str, servers: list[str], jwks: Path, **changes: str) -> dict[str, str]:
    """The environment of an intake process."""
    return {
        "READMIT_INTAKE_DATABASE_URL": database_url,
        **kafka_settings(servers),
        "READMIT_HASH_KEY": base64.b64encode(b"k" * 32).decode(),
        "READMIT_AUTH_JWKS": str(jwks),
        "READMIT_AUTH_ISSUER": ISSUER,
        "READMIT_PUBLIC_INTAKE_URL": "https://help.example.org",
        "READMIT_SIGNIN_URL": "https://id.example.org/signin",
        "READMIT_ORGANISATION": "Meridian Example",
        "READMIT_SUPPORT_CONTACT": "support@meridian.example.org",
        **changes,
    }


def settings_of(database_url: str, servers: list[str], jwks: Path, **changes: str) -> IntakeSettings:
    return IntakeSettings.load(settings_environment(database_url, servers, jwks, **changes))


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest_asyncio.fixture(scope="session")
async def topics(kafka_servers: list[str]) -> None:
    await apply_topics(kafka_servers, TOPICS)


async def _start(stack: AsyncExitStack, settings: IntakeSettings, servers: list[str], issuer: Issuer) -> Intake:
    await migrate_async("intake", settings.database_url)
    clock = Clock()
    app = bootstrap(settings, clock=clock)
    own = await stack.enter_async_context(AsyncExitStack())
    await own.enter_async_context(app.router.lifespan_context(app))
    intake = Intake(app, settings.database_url, servers, issuer, clock, own.aclose)
    stack.push_async_callback(_close, intake)
    return intake


async def _close(intake: Intake) -> None:
    for client in intake._clients:
        await client.aclose()


@pytest_asyncio.fixture
async def start_intake(
    postgres_engine: PostgresEngine, kafka_servers: list[str], topics: None, issuer: Issuer
) -> AsyncIterator[StartIntake]:
    """Starts an intake with a database of its own; settings as keyword arguments, limits off unless given."""
    async with AsyncExitStack() as stack:

        async def start(*, servers: list[str] | None = None, database_url: str | None = None, **changes: str) -> Intake:
            url = database_url or await postgres_engine.create("intake")
            settings = settings_of(url, servers or kafka_servers, issuer.jwks, **{**LIMITS_OFF, **changes})
            return await _start(stack, settings, servers or kafka_servers, issuer)

        yield start


@pytest_asyncio.fixture
async def intake(start_intake: StartIntake) -> Intake:
    return await start_intake()


@pytest_asyncio.fixture(scope="session")
async def shared_intake(
    postgres_engine: PostgresEngine, kafka_servers: list[str], topics: None, issuer: Issuer
) -> AsyncIterator[Intake]:
    """One intake for all tests that leave nothing behind in it: of what is refused, nothing may be."""
    async with AsyncExitStack() as stack:
        settings = settings_of(await postgres_engine.create("intake"), kafka_servers, issuer.jwks, **LIMITS_OFF)
        yield await _start(stack, settings, kafka_servers, issuer)
