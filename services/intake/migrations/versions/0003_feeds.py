"""When each source of events was last heard."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "feeds",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("last_accepted", sa.DateTime(timezone=True), nullable=False),
    )
