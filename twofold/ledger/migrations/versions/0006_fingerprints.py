"""Versions by what made them: whether any is outdated must not take a look at them all"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("ix_versions_fingerprint", "versions", ["fingerprint"])


def downgrade() -> None:
    op.drop_index("ix_versions_fingerprint", "versions")
