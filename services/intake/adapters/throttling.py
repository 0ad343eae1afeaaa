"""Tells of refused requests, beside the requests: refusing must stay cheap, with the database away too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta

from services.intake.domain.client_address import IpAddress, IpNetwork
from services.intake.domain.throttling import RefusalCounter, Refusals
from services.intake.usecases.submit_request import SOURCE
from shared.kit.clock import Clock, uuid7
from shared.kit.db.unit import Database
from shared.kit.logging import get_logger
from shared.kit.messaging.errors import Disposition, classify
from shared.schemas.intake import AssistanceThrottled, AssistanceThrottledData, ThrottlingLimit

log = get_logger(__name__)

_PAUSE_AFTER_FAILURE = 2.0  # seconds
_MOST_AT_ONCE = 500
_STOP_SECONDS = 2.0  # of the ten that a stop may take


class ThrottlingReporter:
    """The `Refused` port, and the task that writes `throttled` events.

    Counts of windows that are not over live in memory: they are written at the window's end and when the service stops,
    and lost when it is killed (the first refusal of each window was written at once).
    """

    def __init__(
        self,
        database: Database,
        hash_text: Callable[[str], str],
        lengths: Mapping[ThrottlingLimit, timedelta],
        *,
        clock: Clock,
    ) -> None:
        self._database = database
        self._hash = hash_text
        self._lengths = lengths
        self._clock = clock
        self._counter = RefusalCounter(lambda: uuid7(clock))
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __call__(self, limit: ThrottlingLimit, address: IpAddress, network: IpNetwork, actor: str) -> None:
        of_network = limit is ThrottlingLimit.NETWORK
        due = self._counter.count(
            limit,
            address if of_network else None,
            network if of_network else None,
            actor,
            now=self._clock(),
            length=self._lengths[limit],
        )
        if due:
            self._wake.set()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="throttling reporter")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        rest = self._counter.take(self._clock(), everything=True)
        try:
            await asyncio.wait_for(self._write(rest), _STOP_SECONDS)
        except Exception as error:
            log.error("throttling.counts_lost", windows=len(rest), error=type(error).__name__)

    async def _run(self) -> None:
        while True:
            await self._sleep()
            due = self._counter.take(self._clock())
            for start in range(0, len(due), _MOST_AT_ONCE):
                if not await self._try(due[start : start + _MOST_AT_ONCE]):
                    self._counter.put_back(due[start:])
                    await asyncio.sleep(_PAUSE_AFTER_FAILURE)
                    self._wake.set()
                    break

    async def _sleep(self) -> None:
        """Until there is a first refusal to tell, or a window ends."""
        end = self._counter.next_end()
        # Half a second more than needed, so that windows that end together are written together.
        seconds = None if end is None else max((end - self._clock()).total_seconds(), 0.0) + 0.05
        with suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    async def _try(self, refusals: list[Refusals]) -> bool:
        try:
            await self._write(refusals)
        except Exception as error:
            if classify(error) is Disposition.RETRY:
                log.warning("throttling.not_written", error=type(error).__name__)
                return False
            log.error("throttling.counts_lost", windows=len(refusals), exc_info=error)
        return True

    async def _write(self, refusals: list[Refusals]) -> None:
        if not refusals:
            return
        async with self._database.begin() as unit:
            for refusal in refusals:
                # Keyed by place, as the other events of the topic are by address.
                unit.publish(_event(refusal), key=self._hash(f"throttled {refusal.limit} {refusal.network}"))


def _event(refusals: Refusals) -> AssistanceThrottled:
    data = AssistanceThrottledData(
        actor=refusals.actor,
        ip=None if refusals.address is None else str(refusals.address),
        network=None if refusals.network is None else str(refusals.network),
        limit=refusals.limit,
        window_start=refusals.start,
        window_end=refusals.end,
        count=refusals.count,
    )
    # Told of at the first refusal, or at the end of the window (when the service stops, at its planned end).
    time = refusals.start if refusals.address is not None else refusals.end
    return AssistanceThrottled(id=refusals.event_id, source=SOURCE, time=time, data=data)
