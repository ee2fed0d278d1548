"""Callers' keys, replayed requests, deliveries of handoffs"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("handoffs") as batch_op:
        # A person may be asked for before anything was answered.
        batch_op.alter_column("answer_id", existing_type=sa.String(length=36), nullable=True)
        batch_op.create_index("ix_handoffs_workspace", ["workspace", "created_at"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("audiences", sa.JSON(), nullable=False),
        sa.Column("rate", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("revoked_at", sa.Float(precision=53), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index("ix_api_keys_workspace", "api_keys", ["workspace", "name"])
    op.create_table(
        "replays",
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("caller", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.Float(precision=53), nullable=False),
        sa.Column("answer_id", sa.String(length=36), nullable=True),
        sa.Column("pieces", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("workspace", "caller", "key"),
    )
    op.create_index("ix_replays_started", "replays", ["started_at"])
    op.create_index("ix_replays_answer_id", "replays", ["answer_id"])
    op.create_table(
        "deliveries",
        sa.Column("handoff_id", sa.String(length=36), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.Float(precision=53), nullable=False),
        sa.Column("delivered_at", sa.Float(precision=53), nullable=True),
        sa.Column("receipt", sa.String(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["handoff_id"], ["handoffs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("handoff_id", "target"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["state", "next_attempt_at"])
    op.create_index("ix_conversations_customer", "conversations", ["workspace", "customer"])
    op.create_index("ix_conversations_last", "conversations", ["last_at"])


def downgrade() -> None:
    op.drop_index("ix_conversations_last", "conversations")
    op.drop_index("ix_conversations_customer", "conversations")
    op.drop_table("deliveries")
    op.execute("DELETE FROM handoffs WHERE answer_id IS NULL")
    with op.batch_alter_table("handoffs") as batch_op:
        batch_op.drop_index("ix_handoffs_workspace")
        batch_op.alter_column("answer_id", existing_type=sa.String(length=36), nullable=False)
    op.drop_table("replays")
    op.drop_table("api_keys")
