"""The tables of enrichment. Version columns compare byte by byte (`COLLATE "C"`): see `domain/versions.py`."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

enrichment = MetaData()


def _version(name: str) -> Column[str]:
    return Column(name, Text(collation="C"), nullable=False, server_default="")


def _time(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False)


accounts = Table(
    "accounts",
    enrichment,
    Column("account_id", Text, primary_key=True),
    _version("reported_version"),
    Column("display_name", Text, nullable=False),
    Column("locale", Text),
    Column("time_zone", Text),
    Column("disabled", Boolean, nullable=False),
    _version("removed_version"),
    _version("email_version"),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False),  # normalised: equal for two spellings of one address
    Column("email_skeleton", Text, nullable=False),  # what it looks like: only ever used to warn
    _version("two_factor_version"),
    Column("two_factor_enabled", Boolean, nullable=False),
    _version("backup_codes_version"),
    Column("unused_backup_codes", Integer, nullable=False),
    _version("locked_version"),
    Column("locked", Boolean, nullable=False),
    Index("accounts_email_key_idx", "email_key"),
    Index("accounts_email_skeleton_idx", "email_skeleton"),
)

milestones = Table(
    "milestones",
    enrichment,
    Column("account_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    _version("version"),
    _time("at"),
    Column("details", JSONB, nullable=False),
    PrimaryKeyConstraint("account_id", "kind"),
)

seen = Table(
    "seen",
    enrichment,
    Column("account_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("count", Integer, nullable=False),
    _time("first_at"),
    _time("last_at"),
    _version("version"),
    Column("latitude", Double),
    Column("longitude", Double),
    Column("accuracy_km", Integer),
    PrimaryKeyConstraint("account_id", "kind", "key"),
)
# The most recent places of an account without looking at all of them. Not for `ip` and `prefix`, of which there may be
# very many and which are only ever looked up by key.
Index(
    "seen_recent_idx",
    seen.c.account_id,
    seen.c.kind,
    seen.c.last_at.desc(),
    postgresql_where=seen.c.kind.in_(("network", "location", "country")),
)

seen_days = Table(
    "seen_days",
    enrichment,
    Column("account_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("count", Integer, nullable=False),
    PrimaryKeyConstraint("account_id", "kind", "key", "day"),
)

failed_signins = Table(
    "failed_signins",
    enrichment,
    Column("key", Text, nullable=False),
    _time("at"),
    Column("failure", Text, nullable=False),
    Column("network", Text, nullable=False),
    Index("failed_signins_key_at_idx", "key", "at", postgresql_include=["failure", "network"]),
)

failed_signin_hours = Table(
    "failed_signin_hours",
    enrichment,
    Column("key", Text, nullable=False),
    Column("network", Text, nullable=False),  # empty: from everywhere
    _time("hour"),
    Column("failure", Text, nullable=False),
    Column("count", Integer, nullable=False),
    _time("last_at"),
    PrimaryKeyConstraint("key", "network", "hour", "failure"),
)

requests = Table(
    "requests",
    enrichment,
    Column("reference_id", Text, primary_key=True),
    Column("email_hash", Text, nullable=False),
    Column("account_id", Text),  # what it resolved to
    _time("at"),
    Column("suppressed", Boolean, nullable=False),
    Column("network", Text, nullable=False),
    Index("requests_email_hash_idx", "email_hash", "at"),
)
Index(
    "requests_account_idx",
    requests.c.account_id,
    requests.c.at,
    postgresql_where=requests.c.account_id.is_not(None),
)

waiting_requests = Table(
    "waiting_requests",
    enrichment,
    Column("source", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event", LargeBinary, nullable=False),
    Column("waiting_since", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("due_at", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("source", "event_id"),
    Index("waiting_requests_due_at_idx", "due_at"),
)

feeds = Table(
    "feeds",
    enrichment,
    Column("name", Text, primary_key=True),
    _time("first_at"),
)
