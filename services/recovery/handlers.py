"""What recovery does with the events it consumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.recovery.adapters.store import SqlTransaction
from services.recovery.usecases.project_events import ProjectAccounts, ProjectRequests
from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.events import Handlers
from shared.schemas import identity
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.intake import AssistanceRequested, AssistanceSuppressed
from shared.schemas.topics import Topic

GROUP = "recovery.events"
TOPICS = (
    Topic.IDENTITY_ACCOUNTS,
    Topic.IDENTITY_ACTIVITY,
    Topic.ASSISTANCE_REQUESTS,
    Topic.ASSISTANCE_ENRICHED,
)


def register(handlers: Handlers, accounts: ProjectAccounts, requests: ProjectRequests) -> None:
    """Says which event goes where."""

    @handlers.on_many(*identity.EVENTS)
    async def on_identity(events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        await accounts(events, SqlTransaction(unit))

    @handlers.on(AssistanceRequested, AssistanceSuppressed)
    async def on_requested(event: AssistanceRequested | AssistanceSuppressed, unit: UnitOfWork) -> None:
        await requests.requested(event, SqlTransaction(unit))

    @handlers.on(AssistanceEnriched)
    async def on_enriched(event: AssistanceEnriched, unit: UnitOfWork) -> None:
        await requests.enriched(event, SqlTransaction(unit))
