"""From Kafka to the log. Nothing is parked and nothing is skipped: while the database is away, it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from services.audit.domain.messages import Message
from services.audit.usecases.append_records import Appended, AppendRecords
from shared.kit.logging import get_logger
from shared.kit.messaging.consumer import Record, Stopping
from shared.kit.messaging.errors import Disposition, classify
from shared.kit.messaging.events import Pauses

log = get_logger(__name__)

records_total = Counter("readmit_audit_records_total", "Records added to the log.", ["kind"])
duplicates_total = Counter("readmit_audit_duplicates_total", "Messages that were in the log already.")
skipped_total = Counter("readmit_audit_offsets_skipped_total", "Offsets that the broker never delivered.")
blocked = Gauge("readmit_audit_blocked", "1 while messages wait because they can't be recorded.")
last_recorded = Gauge("readmit_audit_last_recorded_seconds", "Unix time at which a record was last added.")
tree_size = Gauge("readmit_audit_tree_size", "Records in the log.")


class AuditProcessor:
    """A `RecordProcessor` that records every message, and raises only `Stopping`."""

    def __init__(self, append: AppendRecords, stopping: asyncio.Event, pauses: Pauses | None = None) -> None:
        self._append = append
        self.stopping = stopping
        self._pauses = pauses or Pauses()

    async def __call__(self, records: Sequence[Record]) -> None:
        await self._settle([_message(record) for record in records])

    async def _settle(self, messages: Sequence[Message]) -> None:
        """Tries until the messages are in the log. What the database refuses for its content goes in unread."""
        attempt, unreadable = 0, None
        while True:
            try:
                appended = await self._append(messages, unreadable=unreadable)
            except Exception as error:
                log.error("audit.append_failed", messages=len(messages), attempt=attempt, exc_info=error)
                if classify(error) is not Disposition.RETRY:
                    if len(messages) > 1:
                        for message in messages:
                            await self._settle([message])
                        return
                    unreadable = f"could not be recorded: {type(error).__name__}"
                blocked.set(1)
                await self._pause(self._pauses.after(attempt))
                attempt += 1
            else:
                _observe(appended)
                return

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), seconds)
        except TimeoutError:
            return
        raise Stopping


def _message(record: Record) -> Message:
    timestamp = getattr(record, "timestamp", None)  # missing or -1 in messages of very old producers
    value = record.value if record.value is not None else b""
    return Message(record.topic, record.partition, record.offset, max(timestamp or 0, 0), value)


def _observe(appended: Appended) -> None:
    blocked.set(0)
    tree_size.set(appended.size)
    duplicates_total.inc(appended.duplicates)
    for kind, count in appended.recorded.items():
        records_total.labels(kind).inc(count)
    if appended.recorded:
        last_recorded.set_to_current_time()
    if appended.recorded.get("conflict"):
        log.error("audit.conflict_recorded", count=appended.recorded["conflict"], tree_size=appended.size)
    if appended.recorded.get("unparsed"):
        log.warning("audit.unparsed_recorded", count=appended.recorded["unparsed"], tree_size=appended.size)
    if appended.skipped_offsets:
        skipped_total.inc(appended.skipped_offsets)
        log.error("audit.offsets_skipped", count=appended.skipped_offsets)
