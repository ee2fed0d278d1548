"""Documents out of the index: those gone at their source, and drafts nobody will publish."""

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session

from ingestion.sync.failures import clear_failures
from ingestion.sync.lease import Lease, held
from ingestion.sync.plan import NOT_YET
from ingestion.sync.prepare import KnownSource
from ingestion.sync.run import Run
from ingestion.sync.status import find_source
from twofold.index.contract import OPEN_VERSION, DocumentRef
from twofold.ledger.models import Document, Failure, Job, Source, Version
from twofold.stack import Stack

BATCH = 200
GUARDED_FROM = 3
"""Fewer documents than these may always go: of a small source one is a large share."""
WAIT_SECONDS = 10.0
"""How long a removal waits for who writes the source."""


def remove_missing(
    stack: Stack, run: Run, known: KnownSource, found: set[str], *, even_many: bool = False
) -> None:
    """Takes out what was known and was not found; unless it is an unusual share of the source,
    and nobody has said that this is meant (`even_many`)."""
    kept = found | set(run.hidden)  # those have been taken out already
    gone = [external_id for external_id in known.live if external_id not in kept]
    share = stack.settings.max_removal_share
    if len(gone) >= GUARDED_FROM and len(gone) > share * len(known.live) and not even_many:
        run.held = len(gone)
        gone = []
    for at in range(0, len(gone), BATCH):
        some = gone[at : at + BATCH]
        remove(stack, run.lease, some)
        run.removed(some)
        run.checkpoint()
    # What is back at its source by now has new points, under the same ids.
    purge(stack, _ids(run.lease, [id for id in known.removed if id not in found]))


def remove_hidden(stack: Stack, run: Run, known: KnownSource) -> None:
    """Takes out what now shuts readers out: no guard keeps it."""
    if closed := sorted(set(run.hidden) & set(known.live)):
        remove(stack, run.lease, closed)
        run.removed(closed)


def remove_source(stack: Stack, workspace: str, source: str) -> int:
    """Takes out all that a source ever brought, and forget the source; how many documents answered.

    What was said from it stays on record. Raises NotFound, and Conflict where it is being written.
    Cut off anywhere, it can be done again.
    """
    find_source(stack.ledger, workspace, source)
    own = (Document.workspace == workspace, Document.source == source)
    with held(stack.ledger, workspace, source, WAIT_SECONDS) as lease:
        with stack.ledger.session() as session:
            rows = session.execute(select(Document.external_id, Document.live).where(*own)).all()
        live = [external_id for external_id, number in rows if number is not None]
        for at in range(0, len(live), BATCH):
            remove(stack, lease, live[at : at + BATCH])
        # An earlier removal may have been cut off before the points were gone.
        others = [external_id for external_id, number in rows if number is None]
        for at in range(0, len(others), BATCH):
            purge(stack, _ids(lease, others[at : at + BATCH]))
        discard_drafts(stack, lease)
        with stack.ledger.session() as session:
            lease.renew(session)
            _forget_source(session, workspace, source, len(live))
    return len(live)


def _forget_source(session: Session, workspace: str, source: str, removed: int) -> None:
    """Deletes the source's row and ends its jobs, this one too: the row says whose turn it is."""
    ours = (Job.workspace == workspace, Job.source == source)
    session.execute(
        update(Job)
        .where(*ours, Job.task == "remove", Job.state == "running")
        .values(state="done", result={"removed": removed}, finished_at=time.time())
    )
    session.execute(delete(Failure).where(Failure.workspace == workspace, Failure.source == source))
    session.execute(delete(Source).where(Source.workspace == workspace, Source.name == source))
    session.execute(
        update(Job)
        .where(*ours, Job.state.in_(("waiting", "dead")))
        .values(state="superseded", finished_at=time.time(), payload={})
    )


def _ids(lease: Lease, external_ids: Sequence[str]) -> list[str]:
    return [DocumentRef(lease.workspace, lease.source, each).id for each in external_ids]


def remove(stack: Stack, lease: Lease, external_ids: Sequence[str]) -> None:
    """Stops answering from these documents, then deletes all points they ever had."""
    ids = _ids(lease, external_ids)
    with stack.ledger.session() as session:
        lease.renew(session)
        # The raw hash stays until the points are gone: it says that they are not, yet.
        session.execute(
            update(Document).where(Document.id.in_(ids)).values(live=None, removed_at=time.time())
        )
        clear_failures(session, lease, external_ids)
    purge(stack, ids)


def purge(stack: Stack, ids: Sequence[str]) -> None:
    """Deletes the points of removed documents, also where an earlier removal was interrupted."""
    if not ids:
        return
    with stack.ledger.session() as session:
        points = session.scalars(select(Version.points).where(Version.document_id.in_(ids)))
        held = sorted({id for some in points for id in some})
    if held:
        stack.index.delete(held)
    with stack.ledger.session() as session:
        session.execute(
            delete(Version).where(Version.document_id.in_(ids), Version.applied_from == NOT_YET)
        )
        # A version without points is one that the index may not hold again.
        session.execute(update(Version).where(Version.document_id.in_(ids)).values(points=[]))
        session.execute(update(Document).where(Document.id.in_(ids)).values(raw_hash=""))


def discard_drafts(stack: Stack, lease: Lease) -> None:
    """Removes what interrupted syncs left of versions that never went live."""
    with stack.ledger.session() as session:
        candidates = session.execute(
            select(Version.id, Version.document_id)
            .join(Document)
            .where(
                Document.workspace == lease.workspace,
                Document.source == lease.source,
                # Reads indexed columns alone: the rest of a version row is far larger.
                or_(Document.live.is_(None), Version.number > Document.live),
            )
        ).all()
        if not candidates:
            return
        ids = {row.document_id for row in candidates}
        rows = session.execute(
            select(Version.id, Version.document_id, Version.points, Version.applied_from).where(
                Version.document_id.in_(ids)
            )
        ).all()
    drafts = [row for row in rows if row.applied_from == NOT_YET]
    held = {id for row in rows if row.applied_from != NOT_YET for id in row.points}
    if orphans := sorted({id for row in drafts for id in row.points} - held):
        stack.index.delete(orphans)
    _reopen(stack, {row.document_id for row in drafts})
    _forget(stack, [row.id for row in drafts], {row.document_id for row in drafts})


def _reopen(stack: Stack, documents: Iterable[str]) -> None:
    """Reopens points that were to end with a version that never came."""
    with stack.ledger.session() as session:
        live = session.scalars(
            select(Version.points)
            .join(
                Document, (Document.id == Version.document_id) & (Document.live == Version.number)
            )
            .where(Document.id.in_(list(documents)))
        )
        points = sorted({id for some in live for id in some})
    ended = [chunk for chunk in stack.index.retrieve(points) if chunk.until != OPEN_VERSION]
    if ended:
        stack.index.update_payload([chunk.closed(OPEN_VERSION) for chunk in ended])


def _forget(stack: Stack, drafts: Sequence[int], documents: Iterable[str]) -> None:
    if not drafts:
        return
    with stack.ledger.session() as session:
        session.execute(delete(Version).where(Version.id.in_(drafts)))
        # A document without a version that was ever live is deleted as a whole.
        session.execute(
            delete(Document).where(
                Document.id.in_(list(documents)),
                ~exists().where(Version.document_id == Document.id),
            )
        )
