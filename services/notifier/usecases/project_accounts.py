"""Keep the projection of accounts up to date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.notifier.domain.accounts import joined
from services.notifier.ports import Work
from shared.schemas.envelope import Event


async def project_accounts(events: Sequence[Event[Any]], work: Work) -> None:
    """Join what a batch of identity events says into what is known, in one statement."""
    if events:
        await work.accounts.merge(joined(events))
