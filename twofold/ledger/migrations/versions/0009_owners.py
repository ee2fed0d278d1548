"""Whose a conversation is, what was deleted, and whether the ledger can be written"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("conversations", sa.Column("owner", sa.String(), nullable=True))
    op.create_table(
        "tombstones",
        sa.Column("mark", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
    op.create_table(
        "heartbeats",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    op.drop_table("heartbeats")
    op.drop_table("tombstones")
    with op.batch_alter_table("conversations") as conversations:
        conversations.drop_column("owner")
