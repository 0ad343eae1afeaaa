"""Requests in PostgreSQL: each is one statement, one transaction and one round trip."""

from __future__ import annotations

import json
from functools import partial

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.intake.adapters.durability import durably
from services.intake.domain.submission import Answer, Entry, KeyReused, ReferenceTaken
from services.intake.usecases.submit_request import SOURCE
from shared.kit.db.tables import RELAY_QUEUE
from shared.kit.failpoints import failpoint
from shared.kit.messaging.tracing import current_traceparent
from shared.schemas.topics import Topic

# claimed  The idempotency key: the first of two at once inserts it, the second waits for that and then reads what it
#          holds. An expired key is taken over. The reference is new in every entry, so it tells whose claim it was.
# fresh    One row unless the key had its answer before.
# untold   Suppressed requests for the same address that no message has told of. Looked for, and found empty, for a
#          suppressed request too: both kinds take the same time.
# told     ... which this request's message now does.
# entry    The event's last member is the place for what they were, so the event needs no query before it is built.
# queued   What the relay works off (queue, JSON payload and headers as faststream-outbox writes them).
_RECORD = text(r"""
    WITH claimed AS (
        INSERT INTO idempotency_keys AS held (scope, body, reference_id, language, expires_at)
        SELECT CAST(:scope AS text), CAST(:body AS text), CAST(:reference AS text), CAST(:language AS text),
               now() + interval '24 hours'
        WHERE CAST(:scope AS text) IS NOT NULL
        ON CONFLICT (scope) DO UPDATE SET
            body = CASE WHEN held.expires_at <= now() THEN excluded.body ELSE held.body END,
            reference_id = CASE WHEN held.expires_at <= now() THEN excluded.reference_id ELSE held.reference_id END,
            language = CASE WHEN held.expires_at <= now() THEN excluded.language ELSE held.language END,
            expires_at = CASE WHEN held.expires_at <= now() THEN excluded.expires_at ELSE held.expires_at END
        RETURNING body, reference_id, language
    ), fresh AS (
        SELECT 1 WHERE CAST(:scope AS text) IS NULL OR (SELECT reference_id FROM claimed) = CAST(:reference AS text)
    ), untold AS (
        SELECT reference_id, untold_network, received_at FROM requests
        WHERE untold_network IS NOT NULL AND email_hash = ANY(CAST(:hashes AS text[]))
          AND CAST(:network AS text) IS NULL AND EXISTS (SELECT 1 FROM fresh)
        FOR UPDATE
    ), told AS (
        UPDATE requests SET untold_network = NULL FROM untold WHERE requests.reference_id = untold.reference_id
    ), networks AS (
        SELECT untold_network AS network, count(*) AS count FROM untold GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20
    ), before AS (
        SELECT ',"suppressed_before":{"count":' || count(*)
               || ',"networks":' || (SELECT array_to_json(array_agg(network::text ORDER BY count DESC, network))
                                     FROM networks)::text
               || ',"since":"' || to_char(min(received_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\:MI\:SS.US"Z"')
               || '"}' AS member
        FROM untold
    ), added AS (
        INSERT INTO requests (reference_id, email_hash, untold_network)
        SELECT CAST(:reference AS text), CAST(:hash AS text), CAST(CAST(:network AS text) AS cidr) FROM fresh
    ), entry AS (
        INSERT INTO ledger (source, event_id, type, topic, key, value, time)
        SELECT CAST(:source AS text), CAST(:event_id AS text), CAST(:type AS text), CAST(:topic AS text),
               CAST(:hash AS text),
               convert_to(CAST(:head AS text) || coalesce((SELECT member FROM before), '') || '}}', 'UTF8'),
               CAST(:time AS timestamptz)
        FROM fresh RETURNING id
    ), queued AS (
        INSERT INTO outbox (queue, payload, headers)
        SELECT :queue, convert_to('{"ids":[' || id || ']}', 'UTF8'), CAST(:headers AS jsonb) FROM entry
    )
    SELECT body, reference_id, language, pg_notify('outbox_outbox', :queue)
    FROM (SELECT 1) AS always LEFT JOIN claimed ON true
""")

_HOLDS = text("SELECT 1 FROM ledger WHERE source = :source AND event_id = :event_id")


class RequestStore:
    """The `Requests` port on PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        # A single statement is a transaction of its own: BEGIN and COMMIT would be two more round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def record(self, entry: Entry) -> Answer:
        return await durably(partial(self._write, entry))

    async def _write(self, entry: Entry) -> Answer:
        async with self._engine.connect() as connection:
            await failpoint("intake.request.before-insert")
            try:
                row = (await connection.execute(_RECORD, _parameters(entry))).one()
            except IntegrityError:
                # Written by an earlier try whose answer was lost with the connection, or a reference that is another's.
                identity = {"source": SOURCE, "event_id": entry.event_id}
                if (await connection.execute(_HOLDS, identity)).first() is None:
                    raise ReferenceTaken from None
                return Answer(entry.reference_id, entry.language)
        if row.reference_id is None:
            return Answer(entry.reference_id, entry.language)
        if entry.idempotency is None or row.body != entry.idempotency.body:
            raise KeyReused
        return Answer(row.reference_id, row.language)


def _parameters(entry: Entry) -> dict[str, object]:
    event = entry.event.decode()
    assert event.endswith("}}"), "the event ends with its data"
    headers = {"content-type": "application/json", "correlation_id": entry.event_id}
    if (traceparent := current_traceparent()) is not None:
        headers["traceparent"] = traceparent
    return {
        "scope": entry.idempotency and entry.idempotency.scope,
        "body": entry.idempotency and entry.idempotency.body,
        "reference": entry.reference_id,
        "language": entry.language,
        "hash": entry.email_hash,
        "hashes": list(entry.earlier_hashes),
        "network": None if entry.suppressed_from is None else str(entry.suppressed_from),
        "source": SOURCE,
        "event_id": entry.event_id,
        "type": entry.event_type,
        "topic": Topic.ASSISTANCE_REQUESTS.value,
        "head": event.removesuffix("}}"),
        "time": entry.time,
        "queue": RELAY_QUEUE,
        "headers": json.dumps(headers),
    }
