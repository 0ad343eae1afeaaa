"""Notices an outbox that ages and a queue that is stuck.

Two verdicts. *Not live*, when a restart of this process may help: rows wait, and nobody here takes them, or the job in
hand never ends, or nothing reaches a broker that answers others. *Alarm* (metric, log line, a note at /health/ready),
when it won't: the broker is away or refuses, the rows are locked.

Time is counted in looks, not by a clock: a process that was suspended, or whose database or broker was away, did not
look, and that time is held against nobody. Ages come from the database's clock alone.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiokafka.errors
from prometheus_client import Gauge
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.db.tables import RELAY_QUEUES
from shared.kit.logging import get_logger
from shared.kit.messaging.activity import QueueActivity, Signs
from shared.kit.settings import ServiceSettings

log = get_logger(__name__)

CHECK_SECONDS = 5.0
COUNTED_ROWS = 10_000  # enough to see that a queue grows; counting all of a long one at each look would slow it more
_SAMPLE = 1_000  # rows next in line among which the oldest is looked for: the queue's index has them in that order
_STEADY_LOOKS = 3  # one look may fall between a burst, or a step of the database's clock, and its working off

oldest_seconds = Gauge("readmit_outbox_oldest_seconds", "How long the row that waits longest has been due.", ["queue"])
waiting_rows = Gauge("readmit_outbox_rows", f"Rows in the queue, counted up to {COUNTED_ROWS}.", ["queue"])
alarm_raised = Gauge("readmit_outbox_alarm", "1 while rows of the queue are held up.", ["queue"])

# The relay's rows are never put off but by a failed attempt, so theirs is their whole age. A job is put off on purpose
# (a digest at the end of the hour, a mail server that said 4xx): it has waited since it was due.
_LOOK = text("""
    WITH sample AS (
        (SELECT created_at, next_attempt_at, attempts_count FROM outbox
         WHERE queue = :queue AND acquired_token IS NULL ORDER BY next_attempt_at, id LIMIT :sample)
        UNION ALL
        (SELECT created_at, next_attempt_at, attempts_count FROM outbox
         WHERE queue = :queue AND acquired_token IS NOT NULL ORDER BY next_attempt_at, id LIMIT :sample)
    ), since AS (
        SELECT CASE WHEN :is_relay THEN created_at WHEN next_attempt_at <= now() THEN next_attempt_at END AS due,
               attempts_count > 0 AS tried FROM sample
    ), free AS (
        SELECT FROM outbox WHERE queue = :queue AND acquired_token IS NULL LIMIT :most
    ), taken AS (
        SELECT FROM outbox WHERE queue = :queue AND acquired_token IS NOT NULL LIMIT :most
    )
    SELECT extract(epoch FROM now() - min(due)) AS oldest,
           extract(epoch FROM now() - min(due) FILTER (WHERE tried)) AS oldest_tried,
           (SELECT count(*) FROM free) + (SELECT count(*) FROM taken) AS rows
    FROM since
""")


@dataclass(frozen=True, slots=True)
class _Look:
    oldest: float  # seconds; 0 when nothing is due
    oldest_tried: float
    rows: int


class QueueWatchdog:
    """Watches one queue of this process's outbox."""

    def __init__(
        self,
        queue: str,
        engine: AsyncEngine,
        activity: QueueActivity,
        limits: ServiceSettings,
        broker_answers: Callable[[], Awaitable[bool]],
        *,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self.queue = queue
        self._engine = engine
        self._signs = activity.of(queue)
        self._limits = limits
        self._broker_answers = broker_answers
        self._check_seconds = min(check_seconds, limits.watchdog_queue_seconds / 4, limits.watchdog_alarm_seconds / 4)
        self._seen = Signs()
        # Looks in a row at which, while rows waited, none was worked off; nothing was tried either; nobody even looked
        # for rows; no further attempt failed; the oldest was too old; the oldest of those that were tried was.
        self._idle = self._untaken = self._silent = self._unfailed = self._aged = self._refused = 0
        self._stuck: str | None = None
        self._alarm: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name=f"watchdog of queue {self.queue}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def stuck(self) -> str | None:
        """Why the service is not live, for the health page."""
        return self._stuck

    async def alarm(self) -> str | None:
        """What holds the queue up though a restart would not help, for the health page."""
        return self._alarm

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            try:
                await self.check()
            except Exception as error:
                self._nothing_seen()
                log.warning("outbox.not_watched", queue=self.queue, error=type(error).__name__)

    async def check(self) -> None:
        """Looks once."""
        async with asyncio.timeout(max(self._check_seconds, 1.0)):
            look = await self._look()
        oldest_seconds.labels(self.queue).set(look.oldest)
        waiting_rows.labels(self.queue).set(look.rows)
        self._compare(look)
        stuck = self._endless_job()
        if stuck is None and self._held_up(look):
            stuck = await self._relay_stuck() if self.queue in RELAY_QUEUES else self._workers_stuck()
        self._say_stuck(stuck)
        self._say_alarm(await self._why_aged(look) if self._is_alarming() else None)

    async def _look(self) -> _Look:
        bound = {
            "queue": self.queue, "is_relay": self.queue in RELAY_QUEUES, "sample": _SAMPLE, "most": COUNTED_ROWS,
        }  # fmt: skip
        async with self._engine.connect() as connection:
            row = (await connection.execute(_LOOK, bound)).one()
        return _Look(float(row.oldest or 0), float(row.oldest_tried or 0), min(int(row.rows), COUNTED_ROWS))

    def _compare(self, look: _Look) -> None:
        """Brings the counts of looks up to date with what happened since the last one."""
        signs, seen = self._signs, self._seen
        worked, failed = signs.finished != seen.finished, signs.failed != seen.failed
        self._idle = 0 if worked or not look.oldest else self._idle + 1
        self._unfailed = 0 if failed else self._unfailed + 1
        self._untaken = 0 if worked or failed or signs.in_hand or not look.oldest else self._untaken + 1
        self._silent = 0 if not self._untaken or signs.looked != seen.looked else self._silent + 1
        self._aged = self._aged + 1 if look.oldest >= self._limits.watchdog_alarm_seconds else 0
        self._refused = self._refused + 1 if look.oldest_tried >= self._limits.watchdog_alarm_seconds else 0
        for job in signs.in_hand:
            signs.in_hand[job] += 1
        self._seen = Signs(signs.looked, signs.finished, signs.failed)

    def _nothing_seen(self) -> None:
        """Without a database nobody is stuck, and the gauges would tell of the past."""
        self._idle = self._untaken = self._silent = self._unfailed = self._aged = self._refused = 0
        self._say_stuck(None)
        self._say_alarm(None)
        for job in self._signs.in_hand:
            self._signs.in_hand[job] = 0
        for gauge in (oldest_seconds, waiting_rows):
            gauge.labels(self.queue).set(math.nan)

    def _lasting(self, looks: int, seconds: float) -> bool:
        return looks * self._check_seconds >= seconds

    def _held_up(self, look: _Look) -> bool:
        limit = self._limits.watchdog_queue_seconds
        looks = self._idle if self.queue in RELAY_QUEUES else self._silent
        return look.oldest >= limit and self._lasting(looks, limit)

    def _endless_job(self) -> str | None:
        limit = self._limits.watchdog_job_seconds
        if any(self._lasting(looks, limit) for looks in self._signs.in_hand.values()):
            return f"a job of queue {self.queue} has not ended within {limit:g} s"
        return None

    def _workers_stuck(self) -> str:
        return f"rows of queue {self.queue} are due and nobody takes them"

    async def _relay_stuck(self) -> str | None:
        limit = self._limits.watchdog_queue_seconds
        refused = _is_answer(self._signs.last_error) and not self._lasting(self._unfailed, limit)
        # We look for rows and get none: somebody has them, or they are leased by one of us that died.
        held_elsewhere = self._lasting(self._untaken, limit) and not self._lasting(self._silent, limit)
        if refused or held_elsewhere:
            return None
        if not await self._broker_answers():
            self._idle = 0
            return None
        return "messages wait in the outbox and none is sent, though the broker answers"

    def _is_alarming(self) -> bool:
        # A long queue that is being worked off is old and well; a message that was tried and is still there is not. A
        # job that was tried waits on purpose, and who sends mails says himself when no server answers.
        held_up = self._untaken >= _STEADY_LOOKS
        if self.queue in RELAY_QUEUES:
            held_up = self._idle >= _STEADY_LOOKS or self._refused >= _STEADY_LOOKS
        return held_up and self._aged >= _STEADY_LOOKS

    async def _why_aged(self, look: _Look) -> str:
        waited = f"rows have waited for {look.oldest:.0f} s"
        if self.queue not in RELAY_QUEUES:
            return waited
        if not await self._broker_answers():
            return f"{waited}: the broker does not answer"
        return f"{waited}: {self._signs.last_error or 'nobody takes them'}"

    def _say_stuck(self, reason: str | None) -> None:
        if reason is not None and self._stuck is None:
            log.error("outbox.stuck", queue=self.queue, reason=reason)
        self._stuck = reason

    def _say_alarm(self, reason: str | None) -> None:
        if (reason is None) != (self._alarm is None):
            report = log.info if reason is None else log.warning
            report("outbox.alarm_cleared" if reason is None else "outbox.alarm_raised", queue=self.queue, reason=reason)
        self._alarm = reason
        alarm_raised.labels(self.queue).set(0 if reason is None else 1)


def _is_answer(error: str | None) -> bool:
    """Whether the broker itself said no, such as for a topic that is missing: another process would hear the same."""
    kind = getattr(aiokafka.errors, error or "", None)
    return isinstance(kind, type) and issubclass(kind, aiokafka.errors.BrokerResponseError)


def queues_of(subscribers: Sequence[object]) -> list[str]:
    """The queues that an `OutboxBroker`'s subscribers serve."""
    return sorted({queue for subscriber in subscribers for queue in getattr(subscriber, "_queues", [])})
