"""The widget: its sites, their visitors, and what was said there"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TABLES = (
    "widget_sites",
    "widget_days",
    "widget_identities",
    "widget_visitors",
    "widget_sessions",
    "widget_threads",
    "widget_items",
)


def upgrade() -> None:
    op.create_table(
        "widget_sites",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("workspace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("workspace", "name"),
    )
    op.create_table(
        "widget_days",
        sa.Column("site_id", sa.String(length=40), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("questions", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["widget_sites.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", "day"),
    )
    op.create_table(
        "widget_identities",
        sa.Column("site_id", sa.String(length=40), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["widget_sites.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("site_id", "jti"),
    )
    op.create_index(
        "ix_widget_identities_expires_at", "widget_identities", ["expires_at"], unique=False
    )
    op.create_table(
        "widget_visitors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=40), nullable=False),
        sa.Column("customer", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("audience", sa.JSON(), nullable=False),
        sa.Column("consented_at", sa.Float(precision=53), nullable=True),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("last_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["widget_sites.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("site_id", "customer"),
    )
    op.create_table(
        "widget_sessions",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=40), nullable=False),
        sa.Column("visitor_id", sa.String(length=36), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("renewal", sa.String(length=64), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("renewed_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("expires_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["site_id"], ["widget_sites.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["visitor_id"], ["widget_visitors.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("renewal"),
    )
    op.create_index(
        "ix_widget_sessions_expires_at", "widget_sessions", ["expires_at"], unique=False
    )
    op.create_index("ix_widget_sessions_previous", "widget_sessions", ["previous"], unique=False)
    op.create_index("ix_widget_sessions_visitor", "widget_sessions", ["visitor_id"], unique=False)
    op.create_table(
        "widget_threads",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("site_id", sa.String(length=40), nullable=False),
        sa.Column("visitor_id", sa.String(length=36), nullable=False),
        sa.Column("conversation_id", sa.String(length=36), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("handoff_id", sa.String(length=36), nullable=True),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Float(precision=53), nullable=True),
        sa.Column("answering", sa.String(length=36), nullable=True),
        sa.Column("answering_until", sa.Float(precision=53), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("read", sa.Integer(), nullable=False),
        sa.Column("visitor_typing_at", sa.Float(precision=53), nullable=False),
        sa.Column("agent_typing_at", sa.Float(precision=53), nullable=False),
        sa.Column("created_at", sa.Float(precision=53), nullable=False),
        sa.Column("changed_at", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["site_id"], ["widget_sites.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["visitor_id"], ["widget_visitors.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_widget_threads_changed_at", "widget_threads", ["changed_at"], unique=False)
    op.create_index(
        "ix_widget_threads_conversation_id", "widget_threads", ["conversation_id"], unique=False
    )
    op.create_index(
        "ix_widget_threads_state", "widget_threads", ["state", "changed_at"], unique=False
    )
    op.create_index(
        "ix_widget_threads_visitor", "widget_threads", ["visitor_id", "created_at"], unique=False
    )
    op.create_table(
        "widget_items",
        sa.Column("thread_id", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", sa.Float(precision=53), nullable=False),
        sa.Column("message_id", sa.String(length=36), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("answer_id", sa.String(length=36), nullable=True),
        sa.Column("stopped", sa.Integer(), nullable=True),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["thread_id"], ["widget_threads.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("thread_id", "seq"),
        sa.UniqueConstraint("thread_id", "message_id"),
    )
    op.create_index("ix_widget_items_answer_id", "widget_items", ["answer_id"], unique=False)


def downgrade() -> None:
    for table in reversed(TABLES):
        op.drop_table(table)
