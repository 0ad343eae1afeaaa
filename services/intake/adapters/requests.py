"""Requests in PostgreSQL: each is one statement, one transaction and one round trip."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import asyncpg

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
# queued   What the relay works off (queue, JSON payload and headers as faststream-outbox writes them), without NOTIFY:
#          commits that notify wait for one another. The relay of this process is woken by hand.
#
# $1 and $2 are the idempotency key's scope and body, $3 the reference, $4 the language, $5 the address's hashes under
# every key, $6 the network of a suppressed request, $7 the newest hash, $8 to $11 the event's source, id, type and
# topic, $12 its text without the last two braces, $13 its time, $14 the queue, $15 the outbox row's headers.
RECORD_SQL = """
    WITH claimed AS (
        INSERT INTO idempotency_keys AS held (scope, body, reference_id, language, expires_at)
        SELECT CAST($1 AS text), CAST($2 AS text), CAST($3 AS text), CAST($4 AS text),
               now() + interval '24 hours'
        WHERE CAST($1 AS text) IS NOT NULL
        ON CONFLICT (scope) DO UPDATE SET
            body = CASE WHEN held.expires_at <= now() THEN excluded.body ELSE held.body END,
            reference_id = CASE WHEN held.expires_at <= now() THEN excluded.reference_id ELSE held.reference_id END,
            language = CASE WHEN held.expires_at <= now() THEN excluded.language ELSE held.language END,
            expires_at = CASE WHEN held.expires_at <= now() THEN excluded.expires_at ELSE held.expires_at END
        RETURNING body, reference_id, language
    ), fresh AS (
        SELECT 1 WHERE CAST($1 AS text) IS NULL OR (SELECT reference_id FROM claimed) = CAST($3 AS text)
    ), untold AS (
        SELECT reference_id, untold_network, received_at FROM requests
        WHERE untold_network IS NOT NULL AND email_hash = ANY(CAST($5 AS text[]))
          AND CAST($6 AS text) IS NULL AND EXISTS (SELECT 1 FROM fresh)
        FOR UPDATE
    ), told AS (
        UPDATE requests SET untold_network = NULL FROM untold WHERE requests.reference_id = untold.reference_id
    ), networks AS (
        SELECT untold_network AS network, count(*) AS count FROM untold GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20
    ), before AS (
        SELECT ',"suppressed_before":{"count":' || count(*)
               || ',"networks":' || (SELECT array_to_json(array_agg(network::text ORDER BY count DESC, network))
                                     FROM networks)::text
               || ',"since":"' || to_char(min(received_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
               || '"}' AS member
        FROM untold
    ), added AS (
        INSERT INTO requests (reference_id, email_hash, untold_network)
        SELECT CAST($3 AS text), CAST($7 AS text), CAST(CAST($6 AS text) AS cidr) FROM fresh
    ), entry AS (
        INSERT INTO ledger (source, event_id, type, topic, key, value, time)
        SELECT CAST($8 AS text), CAST($9 AS text), CAST($10 AS text), CAST($11 AS text),
               CAST($7 AS text),
               convert_to(CAST($12 AS text) || coalesce((SELECT member FROM before), '') || '}}', 'UTF8'),
               CAST($13 AS timestamptz)
        FROM fresh RETURNING id
    ), queued AS (
        INSERT INTO outbox (queue, payload, headers)
        SELECT CAST($14 AS text), convert_to('{"ids":[' || id || ']}', 'UTF8'), CAST($15 AS jsonb) FROM entry
    )
    SELECT body, reference_id, language
    FROM (SELECT 1) AS always LEFT JOIN claimed ON true
"""

_HOLDS_SQL = "SELECT 1 FROM ledger WHERE source = $1 AND event_id = $2"

_CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0


class RequestStore:
    """The `Requests` port on PostgreSQL.

    On asyncpg itself, with connections of its own: SQLAlchemy would be most of what a request costs (bench/intake.py),
    and a single statement needs nothing of it.
    """

    def __init__(self, database_url: str, *, connections: int, wake_relay: Callable[[], None]) -> None:
        self._database_url = database_url
        self._wake_relay = wake_relay
        self._connections = connections
        self._pool: asyncpg.Pool | None = None

    async def start(self) -> None:
        """Connects when the first request comes, so that the service starts while the database is away."""
        self._pool = await asyncpg.create_pool(
            self._database_url,
            min_size=0,
            max_size=self._connections,
            max_inactive_connection_lifetime=300,
            reset=_keep,
            timeout=_CONNECT_SECONDS,
            command_timeout=_STATEMENT_SECONDS,
            server_settings={"application_name": "readmit-intake-requests", "jit": "off"},
        )

    async def stop(self) -> None:
        if self._pool is not None:
            self._pool.terminate()  # the server has answered everybody, or given up

    async def record(self, entry: Entry) -> Answer:
        return await durably(partial(self._write, entry))

    async def _write(self, entry: Entry) -> Answer:
        assert self._pool is not None, "started"
        async with self._pool.acquire(timeout=_CONNECT_SECONDS) as connection:
            await failpoint("intake.request.before-insert")
            try:
                # Without BEGIN a statement is a transaction of its own, in one round trip.
                row = await connection.fetchrow(RECORD_SQL, *_parameters(entry))
            except asyncpg.IntegrityConstraintViolationError:
                # Written by an earlier try whose answer was lost with the connection, or a reference that is another's.
                if await connection.fetchval(_HOLDS_SQL, SOURCE, entry.event_id) is None:
                    raise ReferenceTaken from None
                return Answer(entry.reference_id, entry.language)
        self._wake_relay()
        assert row is not None, "the statement's last part always has a row"
        if row["reference_id"] is None:
            return Answer(entry.reference_id, entry.language)
        if entry.idempotency is None or row["body"] != entry.idempotency.body:
            raise KeyReused
        return Answer(row["reference_id"], row["language"])


async def _keep(connection: object) -> None:
    """In place of the pool's own reset, a round trip: nothing here leaves anything behind in a connection."""


def _parameters(entry: Entry) -> tuple[object, ...]:
    event = entry.event.decode()
    assert event.endswith("}}"), "the event ends with its data"
    headers = {"content-type": "application/json", "correlation_id": entry.event_id}
    if (traceparent := current_traceparent()) is not None:
        headers["traceparent"] = traceparent
    return (
        entry.idempotency and entry.idempotency.scope,
        entry.idempotency and entry.idempotency.body,
        entry.reference_id,
        entry.language,
        entry.earlier_hashes,
        None if entry.suppressed_from is None else str(entry.suppressed_from),
        entry.email_hash,
        SOURCE,
        entry.event_id,
        entry.event_type,
        Topic.ASSISTANCE_REQUESTS.value,
        event.removesuffix("}}"),
        entry.time,
        RELAY_QUEUE,
        json.dumps(headers),
    )
