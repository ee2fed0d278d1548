"""Whether a thread waits for a person because the sources could not be searched"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    # A process of the version before writes threads without it while the new one rolls out.
    searched: sa.Column[bool] = sa.Column(
        "searched", sa.Boolean(), nullable=False, server_default=sa.true()
    )
    op.add_column("widget_threads", searched)


def downgrade() -> None:
    with op.batch_alter_table("widget_threads") as threads:
        threads.drop_column("searched")
