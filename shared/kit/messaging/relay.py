"""The outbox relay: the only thing that publishes to Kafka.

An outbox row names ledger rows; the relay loads them, sends them all, waits for every acknowledgement, and only then
lets faststream-outbox delete the row. A crash in between sends again, and consumers deduplicate. What is published
again, for a broker that lost its log, has a queue of its own, so that nothing new waits behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

from faststream_outbox import ExponentialRetry, OutboxBroker
from prometheus_client import Counter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.kit.db.tables import REFILL_QUEUE, RELAY_QUEUE, outbox
from shared.kit.failpoints import failpoint
from shared.kit.logging import get_logger
from shared.kit.messaging.activity import QueueActivity
from shared.kit.messaging.broker import MAX_REQUEST_BYTES
from shared.kit.messaging.consumer import REFILLED_HEADER
from shared.kit.messaging.dead_letters import copy_within
from shared.kit.messaging.leases import tie_leases_to_sessions
from shared.kit.shutdown import OUTBOX_SECONDS
from shared.schemas.topics import is_dead_letter_topic

log = get_logger(__name__)

CONTENT_TYPE = "application/cloudevents+json"
MAX_LETTER_BYTES = MAX_REQUEST_BYTES - 65_536  # what a dead letter is sent with beside its own bytes is far less
LEASE_SECONDS = 20.0  # longer than a send may take (broker.REQUEST_TIMEOUT_MS); a killed process's end at once (leases)

relayed_messages = Counter("readmit_outbox_messages_relayed_total", "Messages acknowledged by Kafka.", ["topic"])

_LOAD = text("""
    SELECT topic, key, value, headers
    FROM ledger JOIN unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS wanted (id, n) USING (id) ORDER BY n
""")


class Publisher(Protocol):
    """The part of a Kafka broker that the relay uses."""

    async def publish(
        self, message: bytes, topic: str, *, key: bytes, headers: dict[str, str], no_confirm: Literal[True]
    ) -> asyncio.Future[Any]:
        """Hands a message over; the future is done when it was acknowledged."""
        ...


def create_outbox(engine: AsyncEngine, activity: QueueActivity | None = None) -> OutboxBroker:
    """The outbox of a service; `publish` writes rows in the caller's transaction, subscribers work them off."""
    activity = activity or QueueActivity()
    broker = OutboxBroker(
        engine,
        middlewares=[activity.middleware],
        metrics_recorder=activity.record,
        outbox_table=outbox,
        graceful_timeout=OUTBOX_SECONDS,
        last_exception_renderer=lambda error: type(error).__name__,
        apply_types=False,
        logger=None,
    )
    return tie_leases_to_sessions(broker)


def register_relay(outbox_broker: OutboxBroker, kafka: Publisher, engine: AsyncEngine) -> Callable[[], None]:
    """Subscribes the relay to its queues. Without Kafka rows wait; they are retried for ever, at most 2 s apart.

    Returns what wakes the relay of this process, for rows that were written without NOTIFY: PostgreSQL has commits that
    notify wait for one another (one lock for all of a server, `PreCommit_Notify`), so they can't share a disk flush.
    """

    async def relay(job: dict[str, Any], *, refilled: bool = False) -> None:
        topics = await send(job["ids"], kafka, engine, refilled=refilled)
        await failpoint("relay.before-delete")
        for topic in topics:
            relayed_messages.labels(topic).inc()

    async def refill(job: dict[str, Any]) -> None:
        await relay(job, refilled=True)

    async def publish(job: dict[str, Any]) -> None:
        await relay(job)

    subscribers = {}
    for queue, work, workers in ((RELAY_QUEUE, publish, 2), (REFILL_QUEUE, refill, 1)):
        subscribers[queue] = outbox_broker.subscriber(
            queue,
            max_workers=workers,
            fetch_batch_size=20,
            terminal_flush_batch_size=20,  # those that were published and not deleted are published again: harmless
            min_fetch_interval=0.5,
            max_fetch_interval=2.0,
            lease_ttl_seconds=LEASE_SECONDS,
            retry_strategy=ExponentialRetry(
                initial_delay_seconds=0.2, multiplier=2, max_delay_seconds=2.0, jitter_factor=0.2
            ),
        )
        subscribers[queue](work)
    # The library wakes a subscriber by NOTIFY only; this is what its listener does. Were it gone, rows would be found
    # by polling, within 2 s: tests/integration/intake/test_requests.py would tell.
    return subscribers[RELAY_QUEUE]._notify_event.set


async def send(ids: Sequence[int], kafka: Publisher, engine: AsyncEngine, *, refilled: bool = False) -> list[str]:
    """Sends ledger rows, in the order of the ids, and returns their topics once all of them were acknowledged.

    Args:
        refilled: they were published before; a header says so.

    Raises: what Kafka or the database raises; some may have been sent by then.
    """
    async with engine.connect() as connection:
        rows = (await connection.execute(_LOAD, {"ids": list(ids)})).all()
    # Futures and not `publish_batch`, which overflows at 16 KiB and ignores keys (hazard 8). Shielded, because a
    # cancelled send may or may not have been written (hazard: librdkafka 4134, franz-go 1217).
    sends = []
    for row in rows:
        value, headers = bytes(row.value), (row.headers or {}) | ({REFILLED_HEADER: "1"} if refilled else {})
        if is_dead_letter_topic(row.topic):
            value, headers = copy_within(MAX_LETTER_BYTES, value, headers)
        sent = await kafka.publish(
            value,
            topic=row.topic,
            key=row.key.encode(),
            headers={"content-type": CONTENT_TYPE, **headers},
            no_confirm=True,
        )
        sends.append(sent)
    await asyncio.shield(asyncio.gather(*sends))
    return [row.topic for row in rows]
