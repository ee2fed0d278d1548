"""One writer for each source: a lease on its row, held for as long as it is renewed."""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ingestion.sources import OURS
from ingestion.sync.retry import patiently
from twofold.errors import Conflict
from twofold.ledger import Ledger
from twofold.ledger.models import Source, Sync

LEASE_SECONDS = 120.0
"""A holder that is killed on another machine blocks the source for so long; on this one, not."""
_POLL_SECONDS = 0.02


class Lease(NamedTuple):
    workspace: str
    source: str
    owner: str

    def renew(self, session: Session) -> None:
        """Holds the lease for longer. In a transaction that publishes, this fences it: raises
        Conflict where somebody else has taken over, and nothing is published."""
        if not _take(session, self, Source.lease_owner == self.owner):
            raise Conflict(
                f"This sync of source {self.source!r} lost its lease to another one and stops."
                " What it wrote is kept; nothing needs to be done."
            )

    def release(self, session: Session) -> bool:
        """Gives the lease back; returns False where it was somebody else's already."""
        result = session.execute(
            update(Source)
            .where(*_row(self), Source.lease_owner == self.owner)
            .values(lease_owner=None, lease_until=0.0)
        )
        return bool(getattr(result, "rowcount", 0))


def register(
    ledger: Ledger, workspace: str, name: str, kind: str, config: Mapping[str, Any]
) -> None:
    """Creates the source's row, or brings it up to date. Raises Conflict where its kind differs."""
    try:
        _register(ledger, workspace, name, kind, dict(config))
    except IntegrityError:
        # Another process created the row in between.
        _register(ledger, workspace, name, kind, dict(config))


def _register(ledger: Ledger, workspace: str, name: str, kind: str, config: dict[str, Any]) -> None:
    with ledger.session() as session:
        row = session.scalar(
            select(Source).where(Source.workspace == workspace, Source.name == name)
        )
        if row is None:
            row = Source(workspace=workspace, name=name, kind=kind, created_at=time.time())
            row.lease_owner, row.config = None, config
            session.add(row)
        elif row.kind != kind:
            raise Conflict(
                f"Source {name!r} is of kind {row.kind!r} already. Take another name for a"
                f" source of kind {kind!r}."
            )
        # A folder that is ingested again says nothing of the schedule it was given.
        elif row.config != (wanted := {**_ours(row.config), **config}):
            row.config = wanted


def _ours(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in OURS if key in config}


def acquire(
    ledger: Ledger,
    workspace: str,
    name: str,
    *,
    wait: float = 0.0,
    then: Callable[[Session], None] | None = None,
) -> Lease:
    """Takes the lease of a registered source, waiting up to `wait` seconds.

    `then` goes into the same transaction. Raises Conflict naming the holder, and since when.
    """
    lease = Lease(workspace, name, new_owner())
    deadline = time.monotonic() + wait
    while True:
        with ledger.session() as session:
            free = or_(Source.lease_owner.is_(None), Source.lease_until < time.time())
            if _take(session, lease, free) or _take_from_dead(session, lease):
                if then is not None:
                    then(session)
                return lease
        if time.monotonic() >= deadline:
            raise _held(ledger, lease)
        time.sleep(_POLL_SECONDS)


@contextmanager
def held(ledger: Ledger, workspace: str, name: str, wait: float) -> Iterator[Lease]:
    """Holds the lease of a registered source meanwhile. Raises what `acquire` does."""
    lease = acquire(ledger, workspace, name, wait=wait)
    try:
        yield lease
    finally:
        # A lease that is not given back would hold up the source as long as this process lives.
        for attempt in patiently(seconds=wait):
            with attempt, ledger.session() as session:
                lease.release(session)


def held_by_another(ledger: Ledger, workspace: str, source: str) -> str | None:
    """Returns who holds the source now, in words; None where it is free."""
    with ledger.session() as session:
        holder = session.scalar(
            select(Source.lease_owner).where(
                Source.workspace == workspace,
                Source.name == source,
                Source.lease_until >= time.time(),
            )
        )
    return f"process {holder.partition('/')[0]}" if holder and alive(holder) else None


def new_owner() -> str:
    """Returns a name for a holder that tells, on its machine, whether it still lives."""
    return f"{os.getpid()}@{socket.gethostname()}/{uuid4().hex[:8]}"


def _row(lease: Lease) -> tuple[Any, Any]:
    return Source.workspace == lease.workspace, Source.name == lease.source


def _take(session: Session, lease: Lease, condition: Any) -> bool:
    result = session.execute(
        update(Source)
        .where(*_row(lease), condition)
        .values(lease_owner=lease.owner, lease_until=time.time() + LEASE_SECONDS)
    )
    return bool(getattr(result, "rowcount", 0))


def _take_from_dead(session: Session, lease: Lease) -> bool:
    """Takes over the lease of a process of this machine that was killed, without waiting it out."""
    holder = session.scalar(select(Source.lease_owner).where(*_row(lease)))
    if holder is None or alive(holder):
        return False
    return _take(session, lease, Source.lease_owner == holder)


def alive(owner: str) -> bool:
    """Returns whether a holder may still live: False only where it surely does not."""
    process, _, rest = owner.partition("@")
    if rest.partition("/")[0] != socket.gethostname() or not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _held(ledger: Ledger, lease: Lease) -> Conflict:
    with ledger.session() as session:
        holder = session.scalar(select(Source.lease_owner).where(*_row(lease)))
        started = session.scalar(
            select(Sync.started_at)
            .where(
                Sync.workspace == lease.workspace,
                Sync.source == lease.source,
                Sync.state == "running",
            )
            .order_by(Sync.started_at.desc())
            .limit(1)
        )
    since = f" since {time.strftime('%H:%M:%S', time.localtime(started))}" if started else ""
    who = f"process {(holder or '').partition('/')[0]}" if holder else "somebody else"
    return Conflict(
        f"Source {lease.source!r} is being written by {who}{since}."
        " Wait for it to end, then sync again."
    )
