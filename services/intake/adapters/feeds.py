"""When each source of events was last heard, in the metrics: a feed that fell silent looks like a quiet day."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.clock import Clock

last_accepted = Gauge(
    "readmit_intake_feed_last_accepted_seconds", "When events of a source were last accepted, Unix time.", ["source"]
)

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
        self._is_loaded = False

    def heard(self, sources: Iterable[str]) -> None:
        now = self._clock()
        for source in set(sources):
            self._note(source, now, saved=False)

    async def keep(self) -> None:
        """Takes up what was written down before, once, and writes down what is new."""
        if not self._is_loaded:
            await self.load()
            self._is_loaded = True
        await self.save()

    async def start(self) -> None:
        """Nothing to do: `keep` is called in time."""

    async def stop(self) -> None:
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

    def _note(self, source: str, time: datetime, *, saved: bool) -> None:
        if source not in self._times and len(self._times) >= _MOST_SOURCES:
            source = _OTHERS
        time = max(time, self._times.get(source, time))
        self._times[source] = time
        last_accepted.labels(source).set(time.timestamp())
        if not saved:
            self._unsaved.add(source)
