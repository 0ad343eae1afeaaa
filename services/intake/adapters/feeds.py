"""When each source of events was last heard, in the metrics: a feed that fell silent looks like a quiet day."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.clock import Clock
from shared.kit.logging import get_logger

log = get_logger(__name__)

last_accepted = Gauge(
    "readmit_intake_feed_last_accepted_seconds", "When events of a source were last accepted, Unix time.", ["source"]
)

_FLUSH_SECONDS = 10.0
_MOST_SOURCES = 100  # a source is whatever the platform says; metrics stay readable whatever that is
_OTHERS = "(others)"

_LOAD = text("SELECT source, last_accepted FROM feeds")
_SAVE = text("""
    INSERT INTO feeds AS known (source, last_accepted)
    SELECT * FROM unnest(CAST(:sources AS text[]), CAST(:times AS timestamptz[])) ORDER BY 1
    ON CONFLICT (source) DO UPDATE SET last_accepted = greatest(known.last_accepted, excluded.last_accepted)
""")


class FeedFreshness:
    """The `Feeds` port: in memory, kept in a table every few seconds, so that a restart forgets no silent feed."""

    def __init__(self, engine: AsyncEngine, *, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._times: dict[str, datetime] = {}
        self._unsaved: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def heard(self, sources: Iterable[str]) -> None:
        now = self._clock()
        for source in set(sources):
            self._note(source, now, saved=False)

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="feeds")

    async def stop(self) -> None:
        if self._task is None:
            return
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        with suppress(Exception):
            await self.save()

    async def save(self) -> None:
        """Writes down who was heard since the last time."""
        sources, self._unsaved = sorted(self._unsaved), set()
        if not sources:
            return
        try:
            async with self._engine.begin() as connection:
                times = [self._times[source] for source in sources]
                await connection.execute(_SAVE, {"sources": sources, "times": times})
        except BaseException:
            self._unsaved |= set(sources)
            raise

    async def load(self) -> None:
        """Takes up what was written down before."""
        async with self._engine.connect() as connection:
            for row in (await connection.execute(_LOAD)).all():
                self._note(row.source, row.last_accepted, saved=True)

    async def _run(self) -> None:
        loaded = False
        while True:
            try:
                if not loaded:
                    await self.load()
                    loaded = True
                await self.save()
            except Exception as error:
                log.warning("feeds.not_saved", error=type(error).__name__)
            await asyncio.sleep(_FLUSH_SECONDS)

    def _note(self, source: str, time: datetime, *, saved: bool) -> None:
        if source not in self._times and len(self._times) >= _MOST_SOURCES:
            source = _OTHERS
        time = max(time, self._times.get(source, time))
        self._times[source] = time
        last_accepted.labels(source).set(time.timestamp())
        if not saved:
            self._unsaved.add(source)
