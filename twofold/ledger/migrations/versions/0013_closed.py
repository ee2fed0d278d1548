"""When a hand-over was settled without a reply that is kept"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("handoffs", sa.Column("closed_at", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("handoffs") as handoffs:
        handoffs.drop_column("closed_at")
