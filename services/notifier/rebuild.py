"""Notifier's projection of accounts out of the ledgers, by the consumer's own code.

Requests, deliveries and attempts are not among it: whom it told, and when, is notifier's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.notifier.adapters.work import work_in
from services.notifier.domain.accounts import IDENTITY_EVENTS
from services.notifier.settings import NotifierSettings
from services.notifier.usecases.project_accounts import project_accounts
from shared.kit.db.unit import UnitOfWork
from shared.kit.projection import ProjectedTable, Projection
from shared.schemas.envelope import Event

SETTINGS = NotifierSettings


def projection(_: NotifierSettings) -> Projection:
    """What `readmit rebuild notifier` makes anew."""

    async def fold(events: Sequence[Event[Any]], unit: UnitOfWork) -> None:
        await project_accounts(events, work_in(unit))

    return Projection(
        service="notifier",
        publishers=("intake", "enrichment"),
        tables=(ProjectedTable("accounts"),),
        consumed=frozenset(event.type_name() for event in IDENTITY_EVENTS),
        published=frozenset(),
        fold=fold,
    )
