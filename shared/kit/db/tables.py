"""The tables that every service has beside its own: inbox, ledger, outbox.

inbox   what was consumed, by (source, event id): the mark that gives an event its effect once.
ledger  what was published, the exact bytes, append-only: a lost broker is refilled and projections are rebuilt from it.
outbox  the durable queue of faststream-outbox; rows of queue `relay` name ledger rows, other queues hold jobs.
"""

from __future__ import annotations

from faststream_outbox import make_outbox_table
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

RELAY_QUEUE = "relay"

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


def create_plumbing(connection: Connection) -> None:
    """Creates the three tables; the first revision of every service's migrations calls it."""
    plumbing.create_all(connection)
