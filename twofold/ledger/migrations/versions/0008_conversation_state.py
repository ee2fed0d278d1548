"""What a reply asked of the customer: a conversation's state is read, not guessed from its words"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

ASKED_BACK = sa.text("action = 'CLARIFY'")


def upgrade() -> None:
    op.add_column("answers", sa.Column("consent", sa.String(), nullable=True))
    op.add_column(
        "answers", sa.Column("failed", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("answers", sa.Column("choices", sa.JSON(), nullable=False, server_default="[]"))
    op.create_index(
        "ix_answers_asked_back", "answers", ["workspace", "created_at"],
        sqlite_where=ASKED_BACK, postgresql_where=ASKED_BACK,
    )  # fmt: skip
    _read_back()


def downgrade() -> None:
    op.drop_index("ix_answers_asked_back", "answers")
    with op.batch_alter_table("answers") as answers:
        for name in ("choices", "failed", "consent"):
            answers.drop_column(name)


def _read_back() -> None:
    """Sets the new columns of old replies from what was recorded beside them."""
    answers = sa.table(
        "answers", sa.column("id"), sa.column("action"), sa.column("reason"),
        sa.column("signals", sa.JSON()), sa.column("consent"), sa.column("failed"),
        sa.column("choices", sa.JSON()),
    )  # fmt: skip
    bind = op.get_bind()
    asked = sa.or_(answers.c.action == "CLARIFY", answers.c.reason == "not_in_sources")
    for row in bind.execute(sa.select(answers).where(asked)).all():
        signals = row.signals if isinstance(row.signals, dict) else json.loads(row.signals or "{}")
        consent = signals.get("consent")
        clarified = row.action == "CLARIFY" and not (consent or signals.get("courtesy"))
        gap = row.action == "ESCALATE" and bool(signals.get("topic")) and "failed" not in signals
        new = {"consent": consent, "failed": clarified or gap}
        new["choices"] = signals.get("between", [])
        bind.execute(sa.update(answers).where(answers.c.id == row.id).values(new))
