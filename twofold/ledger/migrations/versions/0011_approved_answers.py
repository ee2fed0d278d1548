"""Answers that people pinned to a question"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "approved_answers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("audience", sa.JSON(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("citations", sa.JSON(), nullable=False),
        sa.Column("valid_from", sa.Float(precision=53), nullable=False),
        sa.Column("valid_until", sa.Float(precision=53), nullable=True),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_approved_answers_workspace", "approved_answers", ["workspace"])


def downgrade() -> None:
    op.drop_table("approved_answers")
