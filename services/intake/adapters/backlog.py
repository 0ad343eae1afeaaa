"""How much waits for Kafka, so that events are refused before the disk is full."""

from __future__ import annotations

from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.db.tables import RELAY_QUEUE
from shared.kit.logging import get_logger

log = get_logger(__name__)

waiting_messages = Gauge(
    "readmit_intake_backlog_messages", "Messages accepted and not yet published, when last counted."
)

_OPENS_AGAIN = 0.9  # of the mark: what is refused at the brim is not let in and refused by turns
# A row of the outbox holds up to 500 ledger ids, as JSON: {"ids":[1, 2, 3]}.
_COUNT = text("""
    SELECT coalesce(sum(cardinality(string_to_array(convert_from(payload, 'UTF8'), ','))), 0)
    FROM outbox WHERE queue = :queue
""")


class Backlog:
    """The `Room` port: what was there at the last look, and what this process added since."""

    def __init__(self, engine: AsyncEngine, high_water: int) -> None:
        self._engine = engine
        self._high_water = high_water
        self._waiting = 0
        self._added = 0
        self._full = False

    def is_full(self) -> bool:
        return self._full

    def added(self, count: int) -> None:
        self._waiting += count
        self._added += count
        self._judge()

    async def note(self) -> str | None:
        """What the readiness page says of it."""
        if not self._full:
            return None
        return f"{self._waiting} messages wait for Kafka; events are refused from {self._high_water} on"

    async def look(self) -> None:
        """Counts."""
        before = self._added
        async with self._engine.connect() as connection:
            counted = int((await connection.execute(_COUNT, {"queue": RELAY_QUEUE})).scalar_one())
        self._waiting = counted + self._added - before  # added meanwhile: perhaps twice, until the next look
        waiting_messages.set(self._waiting)
        self._judge()

    def _judge(self) -> None:
        was, mark = self._full, self._high_water * (_OPENS_AGAIN if self._full else 1)
        self._full = bool(self._high_water) and self._waiting >= mark
        if self._full != was:
            log.warning("backlog.full" if self._full else "backlog.open_again", messages=self._waiting)
