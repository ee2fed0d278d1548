"""Documents that were left out: why, how often, and when they are tried again."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ingestion.sync.lease import Lease
from ingestion.sync.retry import MAX_ATTEMPTS, backoff
from twofold.ledger import Ledger
from twofold.ledger.models import Failure


class FailureNote(NamedTuple):
    """A document that was left out, at which step, and what to do about it."""

    document: str
    step: str
    reason: str


def record_failure(session: Session, lease: Lease, note: FailureNote) -> None:
    """Adds a document to the failures, or counts one more attempt."""
    now = time.time()
    row = session.get(Failure, (lease.workspace, lease.source, note.document))
    if row is None:
        row = Failure(
            workspace=lease.workspace,
            source=lease.source,
            external_id=note.document,
            attempts=0,
            first_at=now,
        )
        session.add(row)
    row.step, row.reason, row.last_at = note.step, note.reason, now
    row.attempts += 1
    row.next_at = None
    # The same bytes would fail to be extracted again.
    if note.step not in ("extract", "split") and row.attempts < MAX_ATTEMPTS:
        row.next_at = now + backoff(row.attempts)


def clear_failures(session: Session, lease: Lease, external_ids: Sequence[str]) -> None:
    session.execute(delete(Failure).where(*_of(lease), Failure.external_id.in_(external_ids)))


def clear_other_failures(ledger: Ledger, lease: Lease, failed: set[str]) -> None:
    """Clears, after a whole sync, the failures of documents that did not fail in it: they are
    well, or gone at their source."""
    with ledger.session() as session:
        held = session.scalars(select(Failure.external_id).where(*_of(lease))).all()
        if cleared := [external_id for external_id in held if external_id not in failed]:
            clear_failures(session, lease, cleared)


def _of(lease: Lease) -> tuple[Any, Any]:
    return Failure.workspace == lease.workspace, Failure.source == lease.source
