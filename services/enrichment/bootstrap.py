"""The composition root of enrichment."""

from __future__ import annotations

from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncConnection

from services.enrichment.adapters.facts import PostgresFacts
from services.enrichment.adapters.freshness import ConsumerFreshness
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp
from services.enrichment.adapters.waiting import WaitingRequests
from services.enrichment.handlers import register
from services.enrichment.routes import context_router
from services.enrichment.settings import EnrichmentSettings
from services.enrichment.usecases.enrich_request import EnrichRequest
from services.enrichment.usecases.project_events import ProjectEvents
from services.enrichment.usecases.read_context import ReadContext
from shared.kit.addresses import AddressHasher
from shared.kit.clock import Clock, utc_now
from shared.kit.db.unit import UnitOfWork
from shared.kit.http.dead_letters import DeadLetterRoutes
from shared.kit.messaging.consumer import RecordConsumer
from shared.kit.messaging.events import EventProcessor, Handlers
from shared.kit.service import Plumbing
from shared.schemas.topics import Topic

GROUP = "enrichment.events"
TOPICS = (
    Topic.IDENTITY_ACCOUNTS,
    Topic.IDENTITY_ACTIVITY,
    Topic.RECOVERY_ACTIONS,
    Topic.ASSISTANCE_REQUESTS,
)


def bootstrap(settings: EnrichmentSettings, *, clock: Clock = utc_now) -> FastAPI:
    """Builds the service; nothing is connected before the application starts."""
    plumbing = Plumbing.build(settings)
    hasher = AddressHasher(settings.hash_key)
    city = GeoDatabase(settings.geoip_city, "City", "READMIT_GEOIP_CITY")
    asn = GeoDatabase(settings.geoip_asn, "ASN", "READMIT_GEOIP_ASN")
    locate = GeoIp(city, asn)
    is_fresh = ConsumerFreshness()

    def facts_of(connection: AsyncConnection) -> PostgresFacts:
        return PostgresFacts(connection, hasher.all)

    def unit_facts(unit: UnitOfWork) -> PostgresFacts:
        return facts_of(unit.connection)

    enrich = EnrichRequest(locate, hasher.all, is_fresh, clock)
    waiting = WaitingRequests(plumbing.database, enrich, unit_facts, is_fresh, clock)
    handlers = Handlers()
    register(
        handlers,
        project=ProjectEvents(locate, hasher),
        enrich=enrich,
        facts_of=unit_facts,
        wake=waiting.wake,
    )
    processor = EventProcessor(GROUP, plumbing.database, handlers)
    consumer = is_fresh.consumer = RecordConsumer(processor.group, processor)
    processor.stopping = consumer.stopping
    plumbing.consume(consumer, topics=[topic.value for topic in TOPICS])
    plumbing.components.append(waiting)
    auth = settings.bearer_auth()
    return plumbing.application(
        title="Readmit enrichment",
        description="What is known about accounts, for those who decide about them.",
        routers=[
            context_router(auth, ReadContext(clock), plumbing.database, facts_of),
            DeadLetterRoutes(auth, plumbing.database, settings.service).router(),
        ],
        notes={"GeoIP City": city.check, "GeoIP ASN": asn.check},
        openapi=True,
    )
