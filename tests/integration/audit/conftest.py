"""A running audit service: its own database with both roles, its own topics, tokens that it accepts."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from joserfc import jwt
from joserfc.jwk import OKPKey

from services.audit.adapters.writer import PostgresLog
from services.audit.bootstrap import bootstrap
from services.audit.domain.notes import CheckpointSigner
from services.audit.domain.persons import KeyedHashes
from services.audit.domain.sealing import KeyWrapper
from services.audit.settings import AuditSettings
from services.audit.usecases.append_records import AppendRecords
from shared.kit.db.migrate import migrate_async
from shared.kit.messaging.events import Pauses
from shared.kit.service import Plumbing
from tests.engines import PostgresEngine, kafka_settings

GOLDEN = Path(__file__).parents[2] / "contract" / "schemas" / "golden"
ISSUER = "https://id.example.org"
ORIGIN = "example.org/audit-test"


def golden() -> dict[str, bytes]:
    """The golden example of every event type."""
    return {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.json"))}


async def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    """Waits until the condition holds, at most so long; returns what it gave."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        assert asyncio.get_running_loop().time() < end, "the condition did not come true"
        await asyncio.sleep(0.03)


@dataclass
class Databases:
    """The audit database, by role."""

    owner_url: str
    writer_url: str


@pytest_asyncio.fixture
async def databases(postgres_engine: PostgresEngine) -> Databases:
    """A migrated database: schema of the owner, written with another role, as in production."""
    admin_url = await postgres_engine.create("audit")
    owner, owner_password = await postgres_engine.create_role("audit_owner")
    writer, writer_password = await postgres_engine.create_role("audit_writer")
    name = admin_url.partition("?")[0].rsplit("/", 1)[1]
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute(f'ALTER DATABASE "{name}" OWNER TO {owner}')
    finally:
        await connection.close()

    def url(role: str, password: str) -> str:
        head, _, rest = admin_url.partition("://")
        return f"{head}://{role}:{quote(password)}@{rest.partition('@')[2]}"

    found = Databases(url(owner, owner_password), url(writer, writer_password))
    await migrate_async("audit", found.owner_url, app_role=writer)
    return found


@dataclass(frozen=True)
class Tokens:
    """An issuer's key and what it signs."""

    jwks: Path
    key: OKPKey

    def issue(self, scope: str = "readmit.audit", subject: str = "auditor-1") -> str:
        claims = {
            "iss": ISSUER,
            "aud": "readmit",
            "sub": subject,
            "scope": scope,
            "exp": int(time.time()) + 600,
        }
        return jwt.encode({"alg": "Ed25519", "kid": "k1"}, claims, self.key, algorithms=["Ed25519"])


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    key = OKPKey.generate_key("Ed25519", {"kid": "k1"})
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    return Tokens(jwks, key)


@pytest.fixture
def settings(databases: Databases, kafka_servers: list[str], tokens: Tokens) -> AuditSettings:
    signing_key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return AuditSettings.load(
        {
            "READMIT_AUDIT_DATABASE_URL": databases.writer_url,
            **kafka_settings(kafka_servers),
            "READMIT_HASH_KEY": base64.b64encode(b"h" * 32).decode(),
            "READMIT_SESSION_KEY": base64.b64encode(b"s" * 32).decode(),
            "READMIT_AUDIT_SUBJECT_KEY": base64.b64encode(b"w" * 32).decode(),
            "READMIT_AUDIT_SIGNING_KEY": signing_key.decode(),
            "READMIT_AUDIT_ORIGIN": ORIGIN,
            "READMIT_AUTH_JWKS": str(tokens.jwks),
            "READMIT_AUTH_ISSUER": ISSUER,
            "READMIT_PUBLIC_AUDIT_URL": "http://127.0.0.1:28105",
        }
    )


@dataclass
class Audit:
    """The running service, a client of it, and a way to send it messages."""

    client: httpx.AsyncClient
    producer: AIOKafkaProducer
    topic: str
    """A topic of this test, beside which it may create others with the same beginning."""
    servers: list[str]
    writer_url: str
    tokens: Tokens

    async def send(self, *values: bytes | None, topic: str | None = None) -> None:
        for value in values:
            await self.producer.send_and_wait(topic or self.topic, value, key=b"k", partition=0)

    async def get(self, path: str, **params: str | int) -> httpx.Response:
        return await self.client.get(path, params=params)

    async def records(self, q: str = "", **params: str | int) -> list[dict[str, Any]]:
        response = await self.get("/v1/records", q=q, **params)
        assert response.status_code == 200, response.text
        records: list[dict[str, Any]] = response.json()["records"]
        return records

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        connection = await asyncpg.connect(self.writer_url)
        try:
            return list(await connection.fetch(sql, *arguments))
        finally:
            await connection.close()

    async def size(self) -> int:
        (row,) = await self.fetch("SELECT count(*) AS number FROM entries")
        number: int = row["number"]
        return number

    async def until_recorded(self, number: int) -> None:
        async def enough() -> bool:
            return await self.size() >= number

        await wait_for(enough)

    async def record_all(self, *values: bytes | None) -> None:
        """Sends messages and waits until each is a record."""
        before = await self.size()
        await self.send(*values)
        await self.until_recorded(before + len(values))


async def create_topic(servers: list[str], name: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


RunAudit = Callable[..., Any]


@pytest.fixture
def run_audit(settings: AuditSettings, kafka_servers: list[str], tokens: Tokens) -> RunAudit:
    """Runs the service, as often as a test wants, on the same database, group and topics."""
    unique = secrets.token_hex(4)
    topic = f"readmit.recovery.test-{unique}.v1"

    @asynccontextmanager
    async def run() -> AsyncIterator[Audit]:
        app = bootstrap(
            settings,
            group=f"audit.test-{unique}",
            topics=rf"^readmit\..*-{unique}\.(?!.*\.dlt$).*",
            pauses=Pauses(0.05, 0.3),
        )
        await create_topic(kafka_servers, topic)
        producer = AIOKafkaProducer(bootstrap_servers=kafka_servers, enable_idempotence=False)
        await producer.start()
        transport = httpx.ASGITransport(app=app)
        headers = {"Authorization": f"Bearer {tokens.issue()}"}
        try:
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://audit.test", headers=headers) as client,
            ):
                audit = Audit(client, producer, topic, kafka_servers, settings.database_url, tokens)

                async def is_ready() -> bool:
                    return (await client.get("/health/ready")).status_code == 200

                await wait_for(is_ready, 30)
                yield audit
        finally:
            await producer.stop()

    return run


@pytest_asyncio.fixture
async def audit(run_audit: Callable[[], Any]) -> AsyncIterator[Audit]:
    async with run_audit() as running:
        yield running


@asynccontextmanager
async def appender(settings: AuditSettings) -> AsyncIterator[AppendRecords]:
    """A writer of the log without a consumer before it."""
    plumbing = Plumbing.build(settings)
    wrapper = KeyWrapper(settings.audit_subject_key.keys)
    signer = CheckpointSigner(settings.audit_origin, settings.audit_signing_key.blocks)
    try:
        yield AppendRecords(PostgresLog(plumbing.database, wrapper), KeyedHashes(settings.hash_key), signer)
    finally:
        await plumbing.engine.dispose()


@pytest.fixture
def postgres_superuser_url(postgres_engine: PostgresEngine, databases: Databases) -> str:
    """The audit database as the superuser sees it."""
    name = databases.owner_url.partition("?")[0].rsplit("/", 1)[1]
    base, _, query = postgres_engine.admin_url.partition("?")
    return f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
