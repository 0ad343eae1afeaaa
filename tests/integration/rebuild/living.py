"""A service as far as events go, on a real database: what its consumer would do with records, without a broker."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import text

from services.enrichment import rebuild as enrichment_rebuild
from services.enrichment.adapters.facts import PostgresFacts
from services.enrichment.adapters.freshness import ConsumerFreshness
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp
from services.enrichment.handlers import register as register_enrichment
from services.enrichment.settings import EnrichmentSettings
from services.enrichment.usecases.enrich_request import EnrichRequest
from services.enrichment.usecases.project_events import ProjectEvents
from services.notifier import rebuild as notifier_rebuild
from services.notifier.handlers import register as register_notifier
from services.notifier.settings import NotifierSettings
from services.notifier.usecases.notify_admins import NotifyAdmins
from services.recovery import rebuild as recovery_rebuild
from services.recovery.handlers import register as register_recovery
from services.recovery.settings import RecoverySettings
from services.recovery.usecases.chronicle import Chronicle
from services.recovery.usecases.project_events import ProjectAccounts, ProjectRequests
from shared.kit.addresses import AddressHasher
from shared.kit.clock import utc_now, uuid7
from shared.kit.db.engine import create_engine
from shared.kit.db.migrate import migrate_async
from shared.kit.db.tables import inbox, ledger, outbox
from shared.kit.db.unit import Database, Publication, append_ledger
from shared.kit.messaging.events import EventProcessor, Handlers, Pauses
from shared.kit.messaging.relay import create_outbox
from shared.kit.projection import Outcome, Projection
from shared.kit.rebuild import rebuild
from shared.kit.settings import KeyRing
from shared.schemas.envelope import Event
from tests.engines import PostgresEngine

KEYS = KeyRing((b"k" * 32,))
HASHER = AddressHasher(KEYS)
LOCATE = GeoIp(GeoDatabase(None, "City", ""), GeoDatabase(None, "ASN", ""))
HASH_KEY = base64.b64encode(KEYS.newest).decode()
FEED_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeRecord:
    """A record as it comes from the broker."""

    value: bytes | None
    offset: int = 0
    topic: str = "t"
    partition: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@dataclass
class Living:
    """A service's database and consumer."""

    name: str
    url: str
    database: Database
    handlers: Handlers
    projection: Projection

    async def consume(self, *events: Event[Any]) -> None:
        """What the consumer does with one batch."""
        processor = EventProcessor(f"{self.name}.events", self.database, self.handlers, pauses=Pauses(0.01, 0.02))
        await processor([FakeRecord(event.to_bytes(), offset) for offset, event in enumerate(events)])

    async def publish(self, *events: Event[Any]) -> None:
        """Appends to the ledger, as if a use case had said it."""
        await record_in(self.database, *events)

    async def rebuild(self, *publishers: Living, **options: Any) -> Outcome:
        return await rebuild(self.projection, self.url, {one.name: one.url for one in publishers}, **options)

    async def rows(self, sql: str) -> list[Any]:
        async with self.database.read() as connection:
            return list((await connection.execute(text(sql))).all())

    async def rows_deleted(self, table: str) -> None:
        async with self.database.begin() as unit:
            await unit.connection.execute(text(f"DELETE FROM {table}"))

    async def empty(self) -> None:
        """As after the migrations."""
        tables = [*(table.name for table in self.projection.tables), inbox.name, ledger.name, outbox.name]
        tables += {"enrichment": ["waiting_requests"], "recovery": ["actions"]}.get(self.name, [])
        async with self.database.begin() as unit:
            for table in tables:
                await unit.connection.execute(text(f"DELETE FROM {table}"))
            if self.name == "enrichment":
                await unit.connection.execute(text("INSERT INTO feeds VALUES ('recovery', :at)"), {"at": FEED_SINCE})


async def record_in(database: Database, *events: Event[Any]) -> None:
    async with database.begin() as unit:
        await append_ledger(unit.connection, [Publication.of(event, "key") for event in events])


async def living(engine: PostgresEngine, name: str) -> Living:
    """A service of that name on an empty database."""
    url = await engine.create(name)
    await migrate_async(name, url)
    pool = create_engine(url, pool_size=4, application_name=f"test-{name}")
    handlers, projection = _PARTS[name]()
    return Living(name, url, Database(pool, create_outbox(pool)), handlers, projection)


def _nothing() -> tuple[Handlers, Projection]:
    async def fold(*_: Any) -> None: ...

    return Handlers(), Projection("", (), (), frozenset(), frozenset(), fold)


def _enrichment() -> tuple[Handlers, Projection]:
    handlers = Handlers()
    register_enrichment(
        handlers,
        project=ProjectEvents(LOCATE, HASHER),
        enrich=EnrichRequest(LOCATE, HASHER.all, ConsumerFreshness(), utc_now),
        facts_of=lambda unit: PostgresFacts(unit.connection, HASHER.all),
        wake=lambda: None,
    )
    settings = EnrichmentSettings.model_construct(hash_key=KEYS, geoip_city=None, geoip_asn=None)
    return handlers, enrichment_rebuild.projection(settings)


def _notifier() -> tuple[Handlers, Projection]:
    handlers = Handlers()
    register_notifier(handlers, cast("NotifyAdmins", None))  # no request comes here
    return handlers, notifier_rebuild.projection(NotifierSettings.model_construct())


def _recovery() -> tuple[Handlers, Projection]:
    handlers = Handlers()
    accounts = ProjectAccounts(Chronicle(utc_now, uuid7, HASHER), HASHER, HASHER.all)
    register_recovery(handlers, accounts, ProjectRequests())
    return handlers, recovery_rebuild.projection(RecoverySettings.model_construct(hash_key=KEYS))


_PARTS = {"intake": _nothing, "enrichment": _enrichment, "notifier": _notifier, "recovery": _recovery}
