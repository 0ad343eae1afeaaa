"""What happens with the events that enrichment consumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.enrichment.adapters.enrichments import PostgresEnrichments
from services.enrichment.adapters.projections import PostgresProjections
from services.enrichment.domain.accounts import STATE_EVENTS
from services.enrichment.domain.milestones import RECOVERY_EVENTS
from services.enrichment.ports import Facts
from services.enrichment.usecases.enrich_request import EnrichRequest
from services.enrichment.usecases.project_events import ProjectEvents
from shared.kit.db.unit import UnitOfWork
from shared.kit.messaging.events import Handlers
from shared.schemas.envelope import Event
from shared.schemas.identity import PasswordChanged, SigninFailed, SigninSucceeded
from shared.schemas.intake import AssistanceRequested, AssistanceSuppressed

REQUESTS = (AssistanceRequested, AssistanceSuppressed)
PROJECTED = (*STATE_EVENTS, PasswordChanged, SigninSucceeded, SigninFailed, *RECOVERY_EVENTS)


def register(
    handlers: Handlers,
    *,
    project: ProjectEvents,
    enrich: EnrichRequest,
    facts_of: Callable[[UnitOfWork], Facts],
    wake: Callable[[], None],
) -> None:
    """Register one handler for all types: a request then sees the identity events of its own batch."""

    @handlers.on_many(*PROJECTED, *REQUESTS)
    async def on_events(events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        """Project what was reported, then enrich what was asked."""
        projections = PostgresProjections(unit.connection)
        requests = [event for event in events if isinstance(event, REQUESTS)]
        if reported := [event for event in events if not isinstance(event, REQUESTS)]:
            await project(reported, projections)
        if not requests:
            return
        await project.record(requests, projections)
        asked = [event for event in requests if isinstance(event, AssistanceRequested)]
        if asked:
            await enrich(asked, facts_of(unit), PostgresEnrichments(unit, on_wait=wake))
