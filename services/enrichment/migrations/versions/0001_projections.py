"""Projections of accounts, sign-ins, recovery actions and requests."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from shared.kit.db.tables import create_plumbing

revision = "0001"
down_revision = None


def _version(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(collation="C"), nullable=False, server_default="")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    create_plumbing(op.get_bind())
    _create_accounts()
    _create_signins()
    _create_requests()
    op.create_table("feeds", sa.Column("name", sa.Text, primary_key=True), _time("first_at"))
    # From here on recovery's events are received: before the first of them, "none since" has this date.
    op.execute("INSERT INTO feeds (name, first_at) VALUES ('recovery', now())")


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text, primary_key=True),
        _version("reported_version"),
        _text("display_name"),
        _text("locale", nullable=True),
        _text("time_zone", nullable=True),
        sa.Column("disabled", sa.Boolean, nullable=False),
        _version("removed_version"),
        _version("email_version"),
        _text("email"),
        _text("email_key"),
        _text("email_skeleton"),
        _version("two_factor_version"),
        sa.Column("two_factor_enabled", sa.Boolean, nullable=False),
        _version("backup_codes_version"),
        sa.Column("unused_backup_codes", sa.Integer, nullable=False),
        _version("locked_version"),
        sa.Column("locked", sa.Boolean, nullable=False),
    )
    op.create_index("accounts_email_key_idx", "accounts", ["email_key"])
    op.create_index("accounts_email_skeleton_idx", "accounts", ["email_skeleton"])
    op.create_table(
        "milestones",
        _text("account_id"),
        _text("kind"),
        _version("version"),
        _time("at"),
        sa.Column("details", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind"),
    )


def _create_signins() -> None:
    op.create_table(
        "seen",
        _text("account_id"),
        _text("kind"),
        _text("key"),
        _text("label"),
        sa.Column("count", sa.Integer, nullable=False),
        _time("first_at"),
        _time("last_at"),
        _version("version"),
        sa.Column("latitude", sa.Double),
        sa.Column("longitude", sa.Double),
        sa.Column("accuracy_km", sa.Integer),
        sa.PrimaryKeyConstraint("account_id", "kind", "key"),
    )
    op.execute(
        "CREATE INDEX seen_recent_idx ON seen (account_id, kind, last_at DESC) "
        "WHERE kind IN ('network', 'location', 'country')"
    )
    op.create_table(
        "seen_days",
        _text("account_id"),
        _text("kind"),
        _text("key"),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "kind", "key", "day"),
    )
    op.create_table("failed_signins", _text("key"), _time("at"), _text("failure"), _text("network"))
    op.execute("CREATE INDEX failed_signins_key_at_idx ON failed_signins (key, at) INCLUDE (failure, network)")
    op.create_table(
        "failed_signin_hours",
        _text("key"),
        _text("network"),
        _time("hour"),
        _text("failure"),
        sa.Column("count", sa.Integer, nullable=False),
        _time("last_at"),
        sa.PrimaryKeyConstraint("key", "network", "hour", "failure"),
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("reference_id", sa.Text, primary_key=True),
        _text("email_hash"),
        _text("account_id", nullable=True),
        _time("at"),
        sa.Column("suppressed", sa.Boolean, nullable=False),
        _text("network"),
    )
    op.create_index("requests_email_hash_idx", "requests", ["email_hash", "at"])
    op.execute("CREATE INDEX requests_account_idx ON requests (account_id, at) WHERE account_id IS NOT NULL")
    op.create_table(
        "waiting_requests",
        _text("source"),
        _text("event_id"),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        _time("due_at"),
        sa.PrimaryKeyConstraint("source", "event_id"),
    )
    op.create_index("waiting_requests_due_at_idx", "waiting_requests", ["due_at"])
