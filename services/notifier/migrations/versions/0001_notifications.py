"""Accounts as notifier knows them, requests, who is told of them, deliveries and their attempts."""

from alembic import op

from shared.kit.db.tables import create_plumbing

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Event ids are compared as in Python, by code point: COLLATE "C", whatever the database's own collation is.
ACCOUNTS = """
    CREATE TABLE accounts (
        account_id text COLLATE "C" PRIMARY KEY,
        profile_at timestamptz,
        profile_id text COLLATE "C" NOT NULL DEFAULT '',
        display_name text,
        status text,
        level integer,
        locale text,
        time_zone text,
        email_at timestamptz,
        email_id text COLLATE "C" NOT NULL DEFAULT '',
        email text,
        locked_at timestamptz,
        locked_id text COLLATE "C" NOT NULL DEFAULT '',
        locked boolean,
        removed_at timestamptz,
        removed_id text COLLATE "C" NOT NULL DEFAULT ''
    )
"""

REQUESTS = """
    CREATE TABLE requests (
        reference_id text PRIMARY KEY,
        subject text,
        data jsonb NOT NULL,
        traceparent text,
        kept_at timestamptz NOT NULL,
        settled boolean NOT NULL DEFAULT false
    )
"""

DELIVERIES = """
    CREATE TABLE deliveries (
        id text PRIMARY KEY,
        admin text NOT NULL,
        via text NOT NULL CHECK (via IN ('message', 'digest')),
        message_id text NOT NULL UNIQUE,
        state text NOT NULL DEFAULT 'queued'
            CHECK (state IN ('queued', 'sending', 'sent', 'failed', 'abandoned', 'cancelled')),
        reason text,
        attempts integer NOT NULL DEFAULT 0,
        claimed_until timestamptz,
        created_at timestamptz NOT NULL,
        finished_at timestamptz
    )
"""

NOTIFICATIONS = """
    CREATE TABLE notifications (
        reference_id text NOT NULL REFERENCES requests ON DELETE CASCADE,
        admin text NOT NULL,
        via text NOT NULL CHECK (via IN ('message', 'digest')),
        delivery_id text REFERENCES deliveries,
        due_at timestamptz,
        subject text,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (reference_id, admin),
        CHECK (delivery_id IS NOT NULL OR due_at IS NOT NULL)
    )
"""

ATTEMPTS = """
    CREATE TABLE attempts (
        delivery_id text NOT NULL REFERENCES deliveries ON DELETE CASCADE,
        number integer NOT NULL,
        started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        finished_at timestamptz,
        outcome text CHECK (outcome IN ('accepted', 'temporary', 'permanent', 'unknown')),
        smtp_status integer,
        server text,
        server_answer text,
        PRIMARY KEY (delivery_id, number)
    )
"""


def upgrade() -> None:
    create_plumbing(op.get_bind())
    for statement in (ACCOUNTS, REQUESTS, DELIVERIES, NOTIFICATIONS, ATTEMPTS):
        op.execute(statement)
    op.execute("CREATE INDEX accounts_level_idx ON accounts (level) WHERE level > 0")
    op.execute("CREATE INDEX requests_subject_idx ON requests (subject)")
    op.execute("CREATE INDEX notifications_recent_idx ON notifications (admin, created_at) WHERE via = 'message'")
    op.execute("CREATE INDEX notifications_collected_idx ON notifications (admin, due_at) WHERE delivery_id IS NULL")
    op.execute("CREATE INDEX notifications_delivery_idx ON notifications (delivery_id)")
    op.execute("CREATE INDEX deliveries_unfinished_idx ON deliveries (created_at) WHERE finished_at IS NULL")
