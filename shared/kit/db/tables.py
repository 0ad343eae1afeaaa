"""The tables that every service has beside its own: inbox, ledger, outbox, dead letters.

inbox   what was consumed, by (source, event id): the mark that gives an event its effect once.
ledger  what was published, the exact bytes, append-only: a lost broker is refilled and projections are rebuilt from it.
outbox  the durable queue of faststream-outbox; rows of the queues `relay` and `refill` name ledger rows, other queues
        hold jobs.
dead_letters, dead_letter_actions
        what could not be processed, and what people did about it. The bytes are in the ledger row that a letter names,
        and it lives as long as that.
"""

from __future__ import annotations

from faststream_outbox import make_outbox_table
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

RELAY_QUEUE = "relay"
REFILL_QUEUE = "refill"  # the same work for what was published before: a queue of its own, behind which nothing waits
RELAY_QUEUES = (RELAY_QUEUE, REFILL_QUEUE)

plumbing = MetaData()

inbox = Table(
    "inbox",
    plumbing,
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("source", "event_id"),
)

ledger = Table(
    "ledger",
    plumbing,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("subject", Text),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False, server_default="{}"),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("source", "event_id"),
    Index("ledger_recorded_at_idx", "recorded_at"),
    Index("ledger_subject_idx", "subject"),
)

outbox = make_outbox_table(plumbing, "outbox")


dead_letters = Table(
    "dead_letters",
    plumbing,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("ledger_id", ForeignKey("ledger.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("consumer_group", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("size", Integer),  # bytes of the value; NULL where the record had none
    Column("kind", Text, nullable=False),  # `shared.kit.messaging.errors.Kind`
    Column("reason", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("state", Text, nullable=False, server_default="parked"),
    Column("replays", Integer, nullable=False, server_default="0"),  # that failed again
    Column("settled_at", DateTime(timezone=True)),
    CheckConstraint("state IN ('parked', 'replaying', 'replayed', 'dropped')", name="dead_letters_state_check"),
    Index("dead_letters_unsettled_idx", "state", "id", postgresql_where=text("state IN ('parked', 'replaying')")),
)

dead_letter_actions = Table(
    "dead_letter_actions",
    plumbing,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("dead_letter_id", ForeignKey("dead_letters.id", ondelete="CASCADE"), nullable=False),
    Column("action", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("because", Text),
    Column("asked_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("outcome", Text),  # NULL while a replay waits for its service
    Column("detail", Text),
    Column("finished_at", DateTime(timezone=True)),
    Column("logged", Boolean, nullable=False, server_default="false"),  # by the service: people act beside it
    CheckConstraint("action IN ('replay', 'drop')", name="dead_letter_actions_action_check"),
    Index("dead_letter_actions_letter_idx", "dead_letter_id", "id"),
    Index("dead_letter_actions_unlogged_idx", "id", postgresql_where=text("action = 'drop' AND NOT logged")),
)

# Letters that were parked before they had a table: what it says of them is in their ledger rows' headers.
_ADOPT = text("""
    INSERT INTO dead_letters (ledger_id, consumer_group, topic, partition, "offset", size, kind, reason, parked_at)
    SELECT id, headers ->> 'readmit-dead-letter-group', headers ->> 'readmit-dead-letter-topic',
           (headers ->> 'readmit-dead-letter-partition')::int, (headers ->> 'readmit-dead-letter-offset')::bigint,
           octet_length(value),
           CASE WHEN reason LIKE 'MalformedEvent%' THEN 'malformed'
                WHEN reason ~ '^(PoisonMessage|ValidationError|IntegrityError|DataError)' THEN 'refused'
                ELSE 'failed' END,
           reason, recorded_at
    FROM ledger CROSS JOIN LATERAL (SELECT headers ->> 'readmit-dead-letter-reason' AS reason) AS header
    WHERE type = 'readmit.dead-letter.v1' ORDER BY id
    ON CONFLICT (ledger_id) DO NOTHING
""")


def create_plumbing(connection: Connection) -> None:
    """Creates the tables; the first revision of every service's migrations calls it."""
    plumbing.create_all(connection)


def create_dead_letters(connection: Connection) -> None:
    """Creates the dead letters' tables where an earlier version's first revision did not, and takes up its letters."""
    plumbing.create_all(connection, tables=[dead_letters, dead_letter_actions])
    connection.execute(_ADOPT)
