"""The ledger: the truth about documents, versions, answers and handoffs. The index follows it."""

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, create_engine, event, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session, sessionmaker

from twofold.errors import SetupError
from twofold.ledger.models import Document, Version

HEAD = "0006"
"""The schema revision this code needs; a test holds it equal to Alembic's head."""
_MIGRATION_LOCK = 7_204_516


class Ledger:
    """A database of ours, by SQLAlchemy URL. Opening it brings the schema up to date."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = _engine(url)
        # A ledger that nobody closed gives its connections back when it goes.
        weakref.finalize(self, self.engine.dispose)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._migrate()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session that commits at the end of the block and rolls back on an error."""
        with self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        self.engine.dispose()

    def _migrate(self) -> None:
        try:
            with self.engine.connect() as connection:
                known = inspect(connection).has_table("alembic_version")
                if (
                    known
                    and connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
                ):
                    return
        except OperationalError as error:
            raise SetupError(
                f"The ledger at {make_url(self.url).render_as_string()} cannot be opened"
                f" ({error.orig}). Check TWOFOLD_LEDGER_URL or TWOFOLD_HOME."
            ) from error
        # Imported late: Alembic costs a third of a second that a migrated ledger need not pay.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["engine"] = self.engine
        with self._alone():
            command.upgrade(config, "head")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Workers that start together would make the same tables; SQLite locks for itself."""
        if self.engine.dialect.name != "postgresql":
            yield
            return
        with self.engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
            try:
                yield
            finally:
                connection.execute(text(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})"))


_D = Document.__table__.c
_LIVE = select(_D.id, _D.live).where(
    _D.id.in_(bindparam("documents", expanding=True)), _D.live.is_not(None)
)
"""Every question asks this: made once, and of columns, not of mapped classes."""


def versions_at(
    session: Session | Connection, documents: Sequence[str], as_of: float | None
) -> dict[str, int]:
    """Which version of each document applies: the live one, or the one that applied at `as_of`.

    Documents with no version that applies (removed, not yet written) are absent from the result.
    """
    if as_of is None:
        return {row.id: row.live for row in session.execute(_LIVE, {"documents": documents})}
    rows_at = session.execute(
        select(Version.document_id, Version.number)
        .join(Document)
        .where(
            Version.document_id.in_(documents),
            Document.live.is_not(None),
            Version.number <= Document.live,
            Version.applied_from <= as_of,
            Version.applied_until > as_of,
        )
        .order_by(Version.number)
    )
    return {row.document_id: row.number for row in rows_at}


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": 10, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    return engine
