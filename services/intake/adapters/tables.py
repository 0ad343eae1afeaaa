"""Intake's own tables, beside ledger, outbox and inbox."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Index, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import CIDR

metadata = MetaData()

requests = Table(
    "requests",
    metadata,
    Column("reference_id", Text, primary_key=True),
    Column("email_hash", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # Where a suppressed request came from, until the next message about its address has told of it.
    Column("untold_network", CIDR),
)
Index("requests_untold_idx", requests.c.email_hash, postgresql_where=requests.c.untold_network.is_not(None))

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("body", Text, nullable=False),
    Column("reference_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
Index("idempotency_keys_expires_at_idx", idempotency_keys.c.expires_at)
