"""Accounts, requests, actions with what was mailed for them, attempts, and the activity log."""

from alembic import op

from shared.kit.db.tables import create_plumbing

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Before any event: a register that nothing has set. Compared as a row with an id, so that equal times have an order.
NEVER = "timestamptz NOT NULL DEFAULT '0001-01-01 00:00:00+00'"
# "C": compared as Python compares the same ids, whatever the database's locale.
EVENT_ID = "text COLLATE \"C\" NOT NULL DEFAULT ''"

STATEMENTS = (
    f"""
    CREATE TABLE accounts (
        account_id text PRIMARY KEY,
        state_at {NEVER}, state_id {EVENT_ID},
        display_name text, reported_status text, data_protection_access integer, expert_mode boolean,
        locale text, time_zone text, notification_emails jsonb,
        email_at {NEVER}, email_id {EVENT_ID}, email text, email_key text, email_hash text,
        two_factor_at {NEVER}, two_factor_id {EVENT_ID}, two_factor_enabled boolean,
        backup_at {NEVER}, backup_id {EVENT_ID}, unused_backup_codes integer,
        lock_at {NEVER}, lock_id {EVENT_ID}, locked boolean,
        removed_at {NEVER}, removed_id {EVENT_ID},
        ended_at {NEVER}, ended_id {EVENT_ID}, ended_by text
    )
    """,
    "CREATE INDEX accounts_email_hash_idx ON accounts (email_hash)",
    "CREATE INDEX accounts_name_idx ON accounts (lower(display_name), account_id)",
    # What is known: reported at least once, and not removed since.
    """
    CREATE VIEW known_accounts AS
    SELECT account_id, coalesce(email, '') AS email, coalesce(email_key, '') AS email_key,
           coalesce(email_hash, '') AS email_hash, display_name,
           CASE WHEN reported_status = 'disabled' OR (lock_at, lock_id) < (state_at, state_id) THEN reported_status
                WHEN locked THEN 'locked' ELSE 'active' END AS status,
           coalesce(two_factor_enabled, false) AS two_factor_enabled,
           coalesce(unused_backup_codes, 0) AS unused_backup_codes,
           data_protection_access, expert_mode, locale, time_zone, notification_emails,
           CASE WHEN ended_by IS NOT NULL THEN ended_at END AS ended_at, ended_by
    FROM accounts
    WHERE display_name IS NOT NULL AND (state_at, state_id) > (removed_at, removed_id)
    """,
    """
    CREATE TABLE requests (
        reference_id text PRIMARY KEY, email text NOT NULL, email_hash text NOT NULL, issue text NOT NULL,
        requested_at timestamptz NOT NULL, suppressed boolean NOT NULL DEFAULT false,
        account_id text, state text NOT NULL DEFAULT 'open',
        claimed_by text, claimed_at timestamptz, closed_by text, closed_at timestamptz, outcome text, note text
    )
    """,
    "CREATE INDEX requests_state_idx ON requests (state, requested_at DESC, reference_id DESC)",
    "CREATE INDEX requests_account_idx ON requests (account_id) WHERE account_id IS NOT NULL",
    """
    CREATE TABLE actions (
        action_id text PRIMARY KEY, kind text NOT NULL, account_id text NOT NULL, status text NOT NULL DEFAULT 'queued',
        actor text NOT NULL, actor_level integer NOT NULL, actor_expert boolean NOT NULL,
        on_behalf_of text, reference_id text, reason text NOT NULL, details text, verification jsonb,
        address_hash text NOT NULL, wrong_attempts integer NOT NULL DEFAULT 0,
        issued_at timestamptz NOT NULL DEFAULT clock_timestamp(), expires_at timestamptz, sent_at timestamptz,
        ended_at timestamptz, ended_reason text
    )
    """,
    # A new action of a kind replaces the old one, whatever happens at the same moment.
    "CREATE UNIQUE INDEX actions_one_live_idx ON actions (account_id, kind) WHERE status IN ('queued', 'sent')",
    "CREATE INDEX actions_expiry_idx ON actions (expires_at) WHERE status = 'sent'",
    "CREATE INDEX actions_account_idx ON actions (account_id, issued_at DESC)",
    # One row a mail that was tried: the alternatives of an action.
    """
    CREATE TABLE credentials (
        credential_id text PRIMARY KEY, action_id text NOT NULL REFERENCES actions ON DELETE CASCADE,
        address_hash text NOT NULL, selector text, lookup bytea,
        key_id text NOT NULL, salt bytea NOT NULL, digest bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(), expires_at timestamptz NOT NULL,
        CHECK ((selector IS NULL) <> (lookup IS NULL)),
        UNIQUE (action_id, selector), UNIQUE (lookup)
    )
    """,
    "CREATE INDEX credentials_selector_idx ON credentials (address_hash, selector) WHERE selector IS NOT NULL",
    """
    CREATE TABLE mails (
        mail_id text PRIMARY KEY, action_id text NOT NULL REFERENCES actions ON DELETE CASCADE,
        purpose text NOT NULL, recipient text, status text NOT NULL DEFAULT 'queued',
        attempts integer NOT NULL DEFAULT 0, smtp_status integer, server_answer text, message_id text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(), attempted_at timestamptz, sent_at timestamptz
    )
    """,
    "CREATE INDEX mails_action_idx ON mails (action_id)",
    # Wrong attempts that count against an account (READMIT_RECOVERY_LIMIT_ACCOUNT): one row, so that its lock counts.
    """
    CREATE TABLE attempt_windows (
        account_id text PRIMARY KEY, started_at timestamptz NOT NULL, attempts integer NOT NULL
    )
    """,
    # Refused attempts, until they are told of in one event. By the address's hash: whether it is an account's is
    # looked up then, not while somebody measures how long the answer takes.
    """
    CREATE TABLE rejections (
        address_hash text PRIMARY KEY, window_start timestamptz NOT NULL, window_end timestamptz NOT NULL,
        attempts integer NOT NULL, networks text[] NOT NULL DEFAULT '{}'
    )
    """,
    """
    CREATE TABLE answers (
        subject text NOT NULL, idempotency_key text NOT NULL, fingerprint bytea NOT NULL, action_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(), PRIMARY KEY (subject, idempotency_key)
    )
    """,
    """
    CREATE TABLE activity (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account_id text NOT NULL, at timestamptz NOT NULL,
        type text NOT NULL, actor text, on_behalf_of text, reason text, details text, reference_id text,
        outcome text NOT NULL, ip text
    )
    """,
    "CREATE INDEX activity_account_idx ON activity (account_id, at DESC, id DESC)",
    "CREATE INDEX activity_at_idx ON activity (at)",
)


def upgrade() -> None:
    create_plumbing(op.get_bind())
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("a backup is the way back")
