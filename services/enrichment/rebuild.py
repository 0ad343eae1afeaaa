"""Enrichment's projections out of the ledgers: the consumer's own code, without what it decides and publishes.

Places and networks are those that the GeoIP databases of today name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.enrichment.adapters.enrichments import PostgresEnrichments
from services.enrichment.adapters.geoip import GeoDatabase, GeoIp
from services.enrichment.adapters.projections import PostgresProjections
from services.enrichment.handlers import PROJECTED, REQUESTS
from services.enrichment.settings import EnrichmentSettings
from services.enrichment.usecases.project_events import ProjectEvents
from shared.kit.addresses import AddressHasher
from shared.kit.db.unit import UnitOfWork
from shared.kit.projection import ProjectedTable, Projection
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event

TABLES = (
    ProjectedTable("accounts"),
    ProjectedTable("milestones"),
    ProjectedTable("seen"),
    ProjectedTable("seen_days"),
    ProjectedTable("failed_signins"),
    ProjectedTable("failed_signin_hours"),
    ProjectedTable("requests"),
    # Of recovery the row tells when this database was made, if nothing came before: no event says that.
    ProjectedTable("feeds", where="name <> 'recovery'"),
)


class _Fold:
    """Requests may come after what was said about them, so the accounts that they resolved to are kept until then."""

    def __init__(self, settings: EnrichmentSettings) -> None:
        locate = GeoIp(
            GeoDatabase(settings.geoip_city, "City", "READMIT_GEOIP_CITY"),
            GeoDatabase(settings.geoip_asn, "ASN", "READMIT_GEOIP_ASN"),
        )
        self._project = ProjectEvents(locate, AddressHasher(settings.hash_key))
        self._resolved: dict[str, str] = {}

    async def __call__(self, events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        projections = PostgresProjections(unit.connection)
        await self._project([event for event in events if isinstance(event, PROJECTED)], projections)
        await self._project.record([event for event in events if isinstance(event, REQUESTS)], projections)
        self._resolved |= {
            event.data.reference_id: event.data.resolved.account_id
            for event in events
            if isinstance(event, AssistanceEnriched) and event.data.resolved is not None
        }

    async def settle(self, unit: UnitOfWork) -> None:
        for reference in await PostgresEnrichments(unit).resolved(self._resolved):
            del self._resolved[reference]


SETTINGS = EnrichmentSettings


def projection(settings: EnrichmentSettings) -> Projection:
    """What `readmit rebuild enrichment` makes anew."""
    fold = _Fold(settings)
    return Projection(
        service="enrichment",
        publishers=("intake", "recovery"),
        tables=TABLES,
        consumed=frozenset(event.type_name() for event in (*PROJECTED, *REQUESTS)),
        published=frozenset({AssistanceEnriched.type_name()}),
        fold=fold,
        settle=fold.settle,
    )
