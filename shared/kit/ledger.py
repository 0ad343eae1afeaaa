"""Publishing again from the ledger: after a broker was lost, or for a consumer that starts anew.

Consumers have each event's effect once, so replaying too much is harmless.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.kit.db.engine import async_url

# One outbox row a relay batch. Newest first: who was behind when the broker was lost has not seen the newest, and what
# comes after that is known (`RecordConsumer.brings_news`). `pg_notify` wakes the relay of the running service.
_REPLAY = text("""
    WITH chosen AS (
        SELECT id, (row_number() OVER (ORDER BY id DESC) - 1) / 500 AS batch FROM ledger
        WHERE (CAST(:since AS timestamptz) IS NULL OR recorded_at >= :since)
          AND CASE WHEN CAST(:topics AS text[]) IS NULL THEN topic NOT LIKE '%.dlt' ELSE topic = ANY(:topics) END
    ), queued AS (
        INSERT INTO outbox (queue, payload, headers)
        SELECT 'refill', convert_to(jsonb_build_object('ids', jsonb_agg(id ORDER BY id DESC))::text, 'UTF8'),
               '{"content-type": "application/json", "correlation_id": "replay"}'
        FROM chosen GROUP BY batch ORDER BY batch
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM chosen) AS replayed, pg_notify('outbox_outbox', 'refill')
    FROM (SELECT count(*) FROM queued) AS done
""")

# What an earlier replay still had to do is part of a whole one.
_SUPERSEDE = text("DELETE FROM outbox WHERE queue = 'refill' AND acquired_token IS NULL")


async def replay(database_url: str, *, since: datetime | None = None, topics: Collection[str] | None = None) -> int:
    """Queues the ledger's messages for the relay again and returns how many.

    Args:
        database_url: the service's database.
        since: only what was recorded at or after this time.
        topics: only messages of these topics. Without it all but dead letters: nobody consumes those, and their way
            back is `readmit dead-letters replay`.
    """
    engine = create_async_engine(async_url(database_url), pool_size=1, hide_parameters=True)
    try:
        async with engine.begin() as connection:
            if since is None and not topics:
                await connection.execute(_SUPERSEDE)
            row = (
                await connection.execute(_REPLAY, {"since": since, "topics": list(topics) if topics else None})
            ).one()
            return int(row.replayed)
    finally:
        await engine.dispose()
