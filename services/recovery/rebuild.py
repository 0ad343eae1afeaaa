"""Recovery's picture of accounts and requests out of the ledgers: the consumer's own code, without what it decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.recovery.adapters.store import SqlTransaction
from services.recovery.settings import RecoverySettings
from services.recovery.usecases.chronicle import Chronicle, tell_accounts
from services.recovery.usecases.project_events import ProjectAccounts, ProjectRequests
from services.recovery.usecases.sweep import ACTIVITY_KEPT
from shared.kit.addresses import AddressHasher
from shared.kit.clock import utc_now, uuid7
from shared.kit.db.unit import UnitOfWork
from shared.kit.projection import ProjectedTable, Projection
from shared.schemas import identity, recovery
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.envelope import Event
from shared.schemas.intake import AssistanceRequested, AssistanceSuppressed

TABLES = (
    ProjectedTable("accounts"),
    # The id is the order in which lines were written; those past their time are the sweeper's.
    ProjectedTable("activity", left_out=("id",), where=f"at >= now() - interval '{ACTIVITY_KEPT.days} days'"),
    # Who is on a request, and how it ended, is recovery's own state.
    ProjectedTable(
        "requests",
        projected=("reference_id", "email", "email_hash", "issue", "requested_at", "suppressed", "account_id"),
        key=("reference_id",),
    ),
)
_CONSUMED = (*identity.EVENTS, AssistanceRequested, AssistanceSuppressed, AssistanceEnriched)

SETTINGS = RecoverySettings


def projection(settings: RecoverySettings) -> Projection:
    """What `readmit rebuild recovery` makes anew. Codes and links, mails and attempts are not among it."""
    hasher = AddressHasher(settings.hash_key)
    accounts = ProjectAccounts(Chronicle(utc_now, uuid7, hasher), hasher, hasher.all)
    requests = ProjectRequests()

    async def fold(events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        tx = SqlTransaction(unit)
        await accounts.project([event for event in events if isinstance(event, identity.EVENTS)], tx)
        await tell_accounts(tx, [event for event in events if isinstance(event, recovery.EVENTS)])
        for event in events:
            if isinstance(event, AssistanceEnriched):
                await requests.enriched(event, tx)
            elif isinstance(event, AssistanceRequested | AssistanceSuppressed):
                await requests.requested(event, tx)

    return Projection(
        service="recovery",
        publishers=("intake", "enrichment"),
        tables=TABLES,
        consumed=frozenset(event.type_name() for event in _CONSUMED),
        published=frozenset(event.type_name() for event in recovery.EVENTS),
        fold=fold,
    )
