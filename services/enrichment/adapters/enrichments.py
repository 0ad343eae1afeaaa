"""Publishing enriched requests, and keeping those that wait; within one unit of work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

from sqlalchemy import text

from shared.kit.db.unit import UnitOfWork
from shared.schemas.enrichment import AssistanceEnriched
from shared.schemas.intake import AssistanceRequested

_RESOLVED = text("""
    UPDATE requests SET account_id = new.account_id
    FROM unnest(CAST(:references AS text[]), CAST(:accounts AS text[])) AS new (reference_id, account_id)
    WHERE requests.reference_id = new.reference_id RETURNING requests.reference_id
""")
_WAIT = text("""
    INSERT INTO waiting_requests (source, event_id, event, due_at)
    SELECT source, event_id, event, :due_at
    FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:events AS bytea[]))
         AS new (source, event_id, event)
    ON CONFLICT DO NOTHING
""")


class PostgresEnrichments:
    """The way out of a unit of work."""

    def __init__(self, unit: UnitOfWork, on_wait: Callable[[], None] = lambda: None) -> None:
        self._unit = unit
        self._on_wait = on_wait

    async def resolved(self, accounts: Mapping[str, str]) -> set[str]:
        parameters = {"references": list(accounts), "accounts": list(accounts.values())}
        return {row.reference_id for row in await self._unit.connection.execute(_RESOLVED, parameters)}

    def publish(self, event: AssistanceEnriched) -> None:
        self._unit.publish(event, key=event.data.reference_id)

    async def wait(self, requests: Iterable[AssistanceRequested], *, due_at: datetime) -> None:
        waiting = list(requests)
        parameters = {
            "sources": [request.source for request in waiting],
            "ids": [request.id for request in waiting],
            "events": [request.to_bytes() for request in waiting],
            "due_at": due_at,
        }
        await self._unit.connection.execute(_WAIT, parameters)
        self._on_wait()
