"""The ledger: the truth about documents, versions, answers and handoffs. The index follows it."""

import math
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, create_engine, event, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from twofold.errors import SetupError
from twofold.ledger.models import Document, Version
from twofold.ledger.watch import LedgerWatch

HEAD = "0013"
"""The schema revision this code needs; a test holds it equal to Alembic's head."""
_MIGRATION_LOCK = 7_204_516
_SCRUBS = 20
_SCRUB_PAUSE_S = 0.05
_CONNECT_S = 5
_LOCK_S = 10
"""Whoever waits longer for another one's lock is refused."""
_SILENT_S = 30
"""A server that says nothing for so long is taken for gone, whoever still holds the line open."""
_POOL = {"pool_size": 8, "max_overflow": 24, "pool_timeout": 5}
"""More connections than the threads that search, write and look up keys: none waits for one that
another's trouble holds."""


class Ledger:
    """The database, by SQLAlchemy URL. Opening it brings the schema up to date, unless `migrate`
    is false."""

    def __init__(self, url: str, *, migrate: bool = True) -> None:
        self.url = url
        self.engine = _engine(url)
        # A ledger that nobody closed gives its connections back when it goes.
        weakref.finalize(self, self.engine.dispose)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self.watch = LedgerWatch(self._read, self._write)
        if migrate:
            self._migrate()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Opens a session that commits at the end of the block and rolls back on an error."""
        with self.watch.using(), self._sessions.begin() as session:
            yield session

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Opens the same without mapped classes, for where these would take half of the time."""
        with self.watch.using(), self.engine.begin() as connection:
            yield connection

    def gauge(self, of: Callable[[Session], float]) -> float:
        """Returns what `of` reads, for a metric; NaN where the ledger cannot be asked."""
        try:
            with self.session() as session:
                return float(of(session))
        except SQLAlchemyError:
            return math.nan

    def close(self) -> None:
        self.watch.close()
        self.engine.dispose()

    def beat(self, name: str) -> None:
        """Writes a heartbeat. Raises SQLAlchemyError where the ledger takes no writes."""
        now = {"name": name, "at": time.time()}
        with self.engine.begin() as connection:
            known = text("UPDATE heartbeats SET at = :at WHERE name = :name")
            if not connection.execute(known, now).rowcount:
                new = text("INSERT INTO heartbeats (name, at) VALUES (:name, :at)")
                connection.execute(new, now)

    def scrub(self) -> bool:
        """Removes what was deleted from SQLite's log too, where it stays until the log is written
        back.

        Returns False where readers prevented that. PostgreSQL cleans its own.
        """
        if self.engine.dialect.name != "sqlite":
            return True
        for _ in range(_SCRUBS):
            with self.engine.connect() as connection:
                busy = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()[0]
            if not busy:
                return True
            time.sleep(_SCRUB_PAUSE_S)
        return False

    def _read(self) -> None:
        with self.engine.connect() as connection:
            connection.execute(text("SELECT at FROM heartbeats LIMIT 1"))

    def _write(self) -> None:
        """Writes as recording an answer does, so that what blocks the one blocks the other."""
        if self.engine.dialect.name == "postgresql":
            with self.engine.begin() as connection:
                tables = "conversations, answers, handoffs"
                connection.execute(text(f"LOCK TABLE {tables} IN ROW EXCLUSIVE MODE"))
        self.beat("watch")

    def _migrate(self) -> None:
        try:
            if self.revision() == HEAD:
                return
        except OperationalError as error:
            raise SetupError(
                f"The ledger at {make_url(self.url).render_as_string()} cannot be opened"
                f" ({error.orig}). Check TWOFOLD_LEDGER_URL or TWOFOLD_HOME."
            ) from error
        self.move_to("head")

    def move_to(self, revision: str) -> None:
        """Brings the schema to a revision, forward or back. Raises SetupError where this program
        does not know the ledger's, or the one that is wanted."""
        # Imported late: Alembic costs a third of a second that a migrated ledger need not pay.
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        # Another process may be migrating, and a large table takes long.
        patient = self.engine
        if self.engine.dialect.name == "postgresql":
            patient = _engine(self.url, patient=True)
        config.attributes["engine"] = patient
        with self._alone(patient):
            now = self.revision()
            order = [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]
            if now and now not in order:
                raise SetupError(
                    f"The ledger is at revision {now}, which this program (at {HEAD}) does not"
                    f" know: a newer Twofold made it. Run that one, or let it go back first:"
                    f" twofold migrate --to {HEAD}."
                )
            if revision != "head" and revision not in order:
                raise SetupError(
                    f"There is no revision {revision!r}; there are {', '.join(reversed(order))}."
                )
            back = revision in order and now in order and order.index(now) < order.index(revision)
            try:
                (command.downgrade if back else command.upgrade)(config, revision)
            except CommandError as error:
                raise SetupError(
                    f"The ledger cannot go to revision {revision}: {error}."
                ) from error

    def revision(self) -> str | None:
        """Returns the schema's revision; None where there is none yet."""
        with self.engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return found

    @contextmanager
    def _alone(self, patient: Engine) -> Iterator[None]:
        """Lets one process migrate at a time: workers that start together would make the same
        tables. SQLite locks by itself."""
        if patient.dialect.name != "postgresql":
            yield
            return
        with patient.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})"))
            try:
                yield
            finally:
                connection.execute(text(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})"))
        patient.dispose()


_D = Document.__table__.c
_LIVE = select(_D.id, _D.live).where(
    _D.id.in_(bindparam("documents", expanding=True)), _D.live.is_not(None)
)
"""Every question asks this: made once, and of columns, not of mapped classes."""


def versions_at(
    session: Session | Connection, documents: Sequence[str], as_of: float | None
) -> dict[str, int]:
    """Returns which version of each document applies: the live one, or the one that applied at
    `as_of`. Documents with no version that applies (removed, not yet written) are absent."""
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


def hidden_from(
    session: Session | Connection, versions: Mapping[str, int], audiences: Sequence[str]
) -> set[str]:
    """Returns documents whose version of that number is for none of `audiences`, or in
    quarantine."""
    if not versions:
        return set()
    rows = session.execute(
        select(Version.document_id, Version.number, Version.audience, Version.quarantined).where(
            Version.document_id.in_(list(versions))
        )
    )
    return {
        row.document_id
        for row in rows
        if row.number == versions[row.document_id]
        and (row.quarantined or set(audiences).isdisjoint(row.audience))
    }


def points_of(
    session: Session | Connection, versions: Mapping[str, int]
) -> dict[str, Sequence[str]]:
    """Returns the point ids of each document's version of that number, in document order."""
    rows = session.execute(
        select(Version.document_id, Version.number, Version.points).where(
            Version.document_id.in_(list(versions))
        )
    )
    return {row.document_id: row.points for row in rows if row.number == versions[row.document_id]}


def _engine(url: str, *, patient: bool = False) -> Engine:
    """Makes the engine. A `patient` one bounds no wait for a server: migrations take their time."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return _server_engine(parsed, patient)
    pool = {}
    if parsed.database and parsed.database != ":memory:":
        _make_private(Path(parsed.database))
        pool = _POOL
    engine = create_engine(
        parsed, connect_args={"timeout": _LOCK_S, "check_same_thread": False}, **pool
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    return engine


def _server_engine(url: URL, patient: bool) -> Engine:
    asked = {
        "connect_timeout": _CONNECT_S,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": _SILENT_S * 1000,
    }
    engine = create_engine(url, pool_pre_ping=True, connect_args=asked, **_POOL)
    if patient:
        return engine

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, given: Any, named: Any) -> Any:
        # Imported late, as SQLAlchemy does: an embedded ledger needs no driver of a server's.
        from twofold.ledger.bounded import BoundedConnection

        return BoundedConnection.open(*given, silent_s=_SILENT_S, lock_s=_LOCK_S, **named)

    return engine


def _make_private(file: Path) -> None:
    """Lets only the owner read the file. SQLite gives its log the rights of the file itself."""
    try:
        if not file.parent.exists():
            file.parent.mkdir(parents=True, mode=0o700)
        with suppress(PermissionError):  # another user's, who decides for themself
            os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
            for each in (file, *file.parent.glob(f"{file.name}-*")):
                each.chmod(0o600)
    except OSError as error:
        raise SetupError(
            f"The ledger at {file} cannot be made ({error.strerror}). Check TWOFOLD_LEDGER_URL or"
            " TWOFOLD_HOME."
        ) from error
