"""Working off the requests that wait: shortly after they were put aside, and after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import Counter
from sqlalchemy import Row, text

from services.enrichment.adapters.enrichments import PostgresEnrichments
from services.enrichment.ports import Facts, Freshness
from services.enrichment.usecases.enrich_request import PATIENCE, EnrichRequest
from shared.kit.clock import Clock
from shared.kit.db.unit import Database, UnitOfWork
from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify
from shared.kit.messaging.tracing import trace
from shared.schemas.intake import AssistanceRequested
from shared.schemas.registry import decode

log = get_logger(__name__)

LONGEST_WAIT = timedelta(seconds=1.2)
"""For events that are on their way: with the way to the broker and back less than the 2 s of contract section 4."""
_STEP = 0.05  # seconds between two looks while something is known to wait
_BUSY_FOR = 2.0  # seconds of such looks after the last request was put aside
_AFTER_FAILURE = timedelta(seconds=10)
_ROUND = 5.0  # seconds between two looks otherwise: for what a process that died left behind

# As many as share a transaction. When that fails they are taken one at a time: what is wrong with one request must not
# keep the others.
_TOGETHER = 25
# SKIP LOCKED: replicas share the work.
_DUE = text("""
    SELECT source, event_id, event, waiting_since FROM waiting_requests WHERE due_at <= :now
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
""")
_DONE = text("DELETE FROM waiting_requests WHERE source = :source AND event_id = :event_id")
_POSTPONE = text("UPDATE waiting_requests SET due_at = :due_at WHERE source = :source AND event_id = :event_id")

waited_requests = Counter("readmit_enrichment_requests_waited_total", "Requests enriched after waiting for events.")


class WaitingRequests:
    """A task beside the consumer, which must not be held up by a request that waits for what the consumer brings."""

    def __init__(
        self,
        database: Database,
        enrich: EnrichRequest,
        facts_of: Callable[[UnitOfWork], Facts],
        freshness: Freshness,
        clock: Clock,
    ) -> None:
        self._database = database
        self._enrich = enrich
        self._facts_of = facts_of
        self._freshness = freshness
        self._clock = clock
        self._woken = asyncio.Event()
        self._busy_until = 0.0
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Tells that requests were put aside, in a transaction that may still be open."""
        self._busy_until = asyncio.get_running_loop().time() + _BUSY_FOR
        self._woken.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="waiting-requests")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                while await self.work_off():
                    pass
            except Exception as error:
                log.warning("waiting_requests.unreachable", error=type(error).__name__)
            await self._pause()

    async def _pause(self) -> None:
        self._woken.clear()
        if asyncio.get_running_loop().time() < self._busy_until:
            await asyncio.sleep(_STEP)
            return
        try:
            await asyncio.wait_for(self._woken.wait(), _ROUND)
        except TimeoutError:
            return

    async def work_off(self) -> int:
        """Enriches the requests that are due and returns how many it looked at.

        What had been read when they fell due is waited for once, not for each: while a backlog is worked off the
        consumer is always busy, and requests would come out of here one a batch.
        """
        await self._freshness.until_settled()
        now, done, limit = self._clock(), 0, _TOGETHER
        while True:
            rows: Sequence[Row[Any]] = ()
            try:
                async with self._database.begin() as unit:
                    rows = (await unit.connection.execute(_DUE, {"now": now, "limit": limit})).all()
                    for row in rows:
                        await self._settle(row, unit, now)
            except Exception as error:
                if not rows:
                    raise
                if len(rows) > 1:
                    limit = 1
                    continue
                await self._set_aside(rows[0], error)
            if not rows:
                return done
            done += len(rows)

    async def _settle(self, row: Row[Any], unit: UnitOfWork, now: datetime) -> None:
        if now - row.waiting_since < LONGEST_WAIT and not await self._freshness():
            await unit.connection.execute(_POSTPONE, _place(row, due_at=now + PATIENCE))
            self.wake()
            return
        request = decode(bytes(row.event))
        assert isinstance(request, AssistanceRequested), "only these are put aside"
        with trace(request.traceparent):
            await self._enrich.after_waiting(request, self._facts_of(unit), PostgresEnrichments(unit))
        await unit.connection.execute(_DONE, _place(row))
        waited_requests.inc()

    async def _set_aside(self, row: Row[Any], error: Exception) -> None:
        """Keeps a request that can't be enriched, for a later try: it was accepted, so it is never dropped."""
        report = log.error if classify(error) is not Disposition.RETRY else log.warning
        report("waiting_request.failed", event_id=row.event_id, error=type(error).__name__)
        async with self._database.begin() as unit:
            await unit.connection.execute(_POSTPONE, _place(row, due_at=self._clock() + _AFTER_FAILURE))


def _place(row: Row[Any], **more: Any) -> dict[str, Any]:
    return {"source": row.source, "event_id": row.event_id, **more}
