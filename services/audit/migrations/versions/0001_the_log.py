"""The log: append-only tables that no role changes, and the mutable ones beside it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from shared.kit.db.tables import create_plumbing

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# `C` collation: prefixes of `q` are ranges of the index, and the order is the same on every machine.
TABLES = """
CREATE TABLE entries (
    index bigint NOT NULL PRIMARY KEY,
    leaf_hash bytea NOT NULL,
    entry bytea NOT NULL,
    -- What follows is derived from the entry, for searching.
    type text COLLATE "C" NOT NULL,
    service text COLLATE "C",
    reference_id text COLLATE "C",
    reference_index integer,
    actor text COLLATE "C",
    subject text COLLATE "C",
    outcome text COLLATE "C",
    reason text COLLATE "C",
    occurred_at timestamptz NOT NULL,
    topic text COLLATE "C" NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    incarnation integer NOT NULL
) PARTITION BY RANGE (index);
CREATE INDEX entries_type_idx ON entries (type, index);
CREATE INDEX entries_service_idx ON entries (service, index);
CREATE INDEX entries_reference_idx ON entries (reference_id, index) WHERE reference_id IS NOT NULL;
CREATE INDEX entries_actor_idx ON entries (actor, index) WHERE actor IS NOT NULL;
CREATE INDEX entries_subject_idx ON entries (subject, index) WHERE subject IS NOT NULL;
CREATE INDEX entries_outcome_idx ON entries (outcome, index) WHERE outcome IS NOT NULL;
CREATE INDEX entries_reason_idx ON entries (reason, index) WHERE reason IS NOT NULL;
CREATE INDEX entries_occurred_at_idx ON entries (occurred_at);

-- Nodes of complete subtrees from level 1 up; level 0 are the leaf hashes of the entries.
CREATE TABLE nodes (
    level smallint NOT NULL, index bigint NOT NULL, hash bytea NOT NULL, PRIMARY KEY (level, index)
);
CREATE TABLE checkpoints (
    size bigint PRIMARY KEY, root bytea NOT NULL, note text NOT NULL, signed_at timestamptz NOT NULL
);
-- One row a message that was recorded: the same bytes again are not, other bytes under the same id are a conflict.
CREATE TABLE event_keys (
    source text COLLATE "C" NOT NULL, event_id text COLLATE "C" NOT NULL, message_hash bytea NOT NULL,
    index bigint NOT NULL, PRIMARY KEY (source, event_id, message_hash)
);
-- Sealed messages too large for their entry, under the hash that the entry holds.
CREATE TABLE payloads (hash bytea PRIMARY KEY, content bytea NOT NULL);

-- Mutable. Erasing a person deletes their key, and with it everything that was sealed with it.
CREATE TABLE subject_keys (
    subject_id text COLLATE "C" PRIMARY KEY, wrapped bytea NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE persons (
    kind text COLLATE "C" NOT NULL, hash text COLLATE "C" NOT NULL, subject_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (kind, hash)
);
CREATE TABLE address_owners (
    address_hash text COLLATE "C" NOT NULL, account_hash text COLLATE "C" NOT NULL,
    PRIMARY KEY (address_hash, account_hash)
);
CREATE INDEX address_owners_account_idx ON address_owners (account_hash);
CREATE TABLE lookups (
    kind text COLLATE "C" NOT NULL, hash text COLLATE "C" NOT NULL, index bigint NOT NULL,
    PRIMARY KEY (kind, hash, index)
);
-- How far each partition was read. The incarnation counts brokers that began anew: offsets start again in those.
CREATE TABLE positions (
    topic text COLLATE "C" NOT NULL, partition integer NOT NULL, incarnation integer NOT NULL,
    next_offset bigint NOT NULL, last_timestamp bigint NOT NULL, PRIMARY KEY (topic, partition)
);
"""

# Statement triggers: they refuse even what would change no row. TRUNCATE and statements on a partition don't fire the
# parent's, so each partition has its own; ALWAYS, because session_replication_role skips the others. Partitions are
# made by a function with its owner's rights: the writer may not create tables.
GUARDS = (
    """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$
""",
    """
CREATE FUNCTION guard_table(name regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER append_only', name);
END $$
""",
    """
CREATE FUNCTION ensure_partition(number integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = {schema}, pg_temp AS $$
DECLARE
    size CONSTANT bigint := 1000000;
    name text := format('entries_%s', number);
BEGIN
    IF number < 0 OR to_regclass(name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE %I PARTITION OF entries FOR VALUES FROM (%s) TO (%s)',
                   name, number * size, (number + 1) * size);
    PERFORM guard_table(name::regclass);
END $$
""",
    "REVOKE EXECUTE ON FUNCTION ensure_partition, guard_table FROM PUBLIC",
)

APPEND_ONLY = ("entries", "nodes", "checkpoints", "event_keys", "payloads")
MUTABLE = ("subject_keys", "persons", "address_owners", "lookups", "positions", "inbox", "ledger", "outbox")


def upgrade() -> None:
    connection = op.get_bind()
    schema = connection.execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    create_plumbing(connection)
    for statement in TABLES.split(";\n"):
        _run(statement)
    for statement in GUARDS:
        _run(statement.replace("{schema}", schema))
    for table in APPEND_ONLY:
        _run(f"SELECT guard_table('{table}')")
    for number in (0, 1):
        _run(f"SELECT ensure_partition({number})")
    role = op.get_context().opts["app_role"]
    if role is not None:
        _grant(connection.execute(text("SELECT quote_ident(:role)"), {"role": role}).scalar_one(), schema)


def _grant(role: str, schema: str) -> None:
    """What the writer needs. On partitions it gets nothing: rows reach them through the parent."""
    _run(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    _run(f"GRANT SELECT, INSERT ON {', '.join(APPEND_ONLY)} TO {role}")
    _run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {', '.join(MUTABLE)} TO {role}")
    _run(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA {schema} TO {role}")
    _run(f"GRANT EXECUTE ON FUNCTION ensure_partition TO {role}")
    _run(f"GRANT SELECT ON alembic_version TO {role}")


def _run(statement: str) -> None:
    """Runs one statement as it is written: no bind parameters, no percent signs of the driver's."""
    if statement.strip():
        op.get_bind().exec_driver_sql(statement)
