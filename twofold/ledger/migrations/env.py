"""Alembic's entry: the engine comes from `Ledger`, or from `-x url=` on Alembic's command line."""

from alembic import context
from sqlalchemy import create_engine

from twofold.ledger import releases, service, widget  # noqa: F401  their tables count as well
from twofold.ledger.models import Base

engine = context.config.attributes.get("engine") or create_engine(
    context.get_x_argument(as_dictionary=True)["url"]
)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
