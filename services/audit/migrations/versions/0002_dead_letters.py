"""The tables of dead letters. Audit parks nothing and they stay empty, but every service has the same plumbing."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from shared.kit.db.tables import create_dead_letters

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    create_dead_letters(connection)
    role = op.get_context().opts["app_role"]
    if role is not None:
        quoted = connection.execute(text("SELECT quote_ident(:role)"), {"role": role}).scalar_one()
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON dead_letters, dead_letter_actions TO {quoted}")
        op.execute(f"GRANT USAGE, SELECT ON SEQUENCE dead_letters_id_seq, dead_letter_actions_id_seq TO {quoted}")
