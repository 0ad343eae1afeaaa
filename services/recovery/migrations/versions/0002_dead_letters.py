"""Dead letters as rows, with what people did about them; those that earlier versions parked are taken up."""

from alembic import op

from shared.kit.db.tables import create_dead_letters

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_dead_letters(op.get_bind())
