"""Live answers that are looked into, and what was found"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "diagnoses",
        sa.Column("answer_id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("signal", sa.String(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("queued_at", sa.Float(precision=53), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("done_at", sa.Float(precision=53), nullable=True),
        sa.Column("layer", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("answer_id"),
    )
    op.create_index("ix_diagnoses_due", "diagnoses", ["state", "due_at"])
    op.create_index("ix_diagnoses_queued", "diagnoses", ["workspace", "queued_at"])
    op.create_index("ix_answers_created", "answers", ["workspace", "created_at"])


def downgrade() -> None:
    op.drop_index("ix_answers_created", "answers")
    op.drop_table("diagnoses")
