"""Jobs, and when a failed document is tried again"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("task", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.Float(precision=53), nullable=False),
        sa.Column("owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("finished_at", sa.Float(precision=53), nullable=True),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.create_index("ix_jobs_due", ["state", "queue", "due_at"], unique=False)
        batch_op.create_index("ix_jobs_source", ["workspace", "source", "state"], unique=False)
    op.add_column("failures", sa.Column("next_at", sa.Float(precision=53), nullable=True))
    op.add_column(
        "sources",
        sa.Column("served_at", sa.Float(precision=53), nullable=False, server_default="0"),
    )


def downgrade() -> None:
    op.drop_column("sources", "served_at")
    op.drop_column("failures", "next_at")
    op.drop_table("jobs")
