"""Documents into the index: plan, embed, draft, put, close, flip, settle.

The order is what a crash at any point relies on. A draft names the points of a version before they
exist, so that whoever comes next can find them; new points open with the new version and old ones
close with it, before it is live, so that the flip, one transaction, swaps them all at once; only
then is the old version cleared away, and last of all the document's `raw_hash` says that nothing
is left to do.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import BindParameter, Update, bindparam, delete, update
from sqlalchemy.orm import Session

from ingestion.extract import Metadata
from ingestion.sync.errors import step
from ingestion.sync.failures import clear_failures
from ingestion.sync.lease import Lease
from ingestion.sync.plan import NOT_YET, WritePlan, make_plans, narrowed, stays
from ingestion.sync.prepare import Prepared
from twofold import metrics
from twofold.index.contract import OPEN_VERSION, Chunk, Embedded
from twofold.ledger.models import Document, Version
from twofold.stack import Stack

EMBED_TEXTS = 768
"""Texts in one call to the embedder: a batch, or part of a document as long as several."""

T = TypeVar("T")
Heartbeat = Callable[[], None]


def write(
    stack: Stack, lease: Lease, batch: Sequence[Prepared], heartbeat: Heartbeat
) -> list[WritePlan]:
    """Brings these documents live. Raises StepFailed; then those not yet flipped stay as they
    were, and writing them again ends as if nothing had happened."""
    with step("plan"):
        plans = make_plans(stack, batch)
    with step("embed"):
        points = embed(stack, plans, heartbeat)
    with step("write"):
        draft(stack, plans)
        put(stack, plans, points, heartbeat)
        close(stack, plans)
    with step("flip"):
        flip(stack, lease, plans)
        _observe(plans)
    with step("prune"):
        settle(stack, lease, plans)
    return plans


def _observe(plans: Sequence[WritePlan]) -> None:
    # A document that is new here was not waiting for us, however old it is.
    for plan in (plan for plan in plans if plan.live is not None and not plan.same):
        metrics.INGESTION_FRESHNESS.observe(max(0.0, time.time() - plan.prepared.updated_at))


def embed(stack: Stack, plans: Sequence[WritePlan], heartbeat: Heartbeat) -> list[Embedded]:
    """Returns both vectors of every chunk that the index lacks, over all documents at once."""
    chunks = [chunk for plan in plans for chunk in plan.fresh]
    points: list[Embedded] = []
    for some in _slices(chunks, EMBED_TEXTS):
        points += embedded(stack, some)
        heartbeat()
    return points


def embedded(stack: Stack, chunks: Sequence[Chunk]) -> list[Embedded]:
    """Returns chunks with both vectors."""
    started = time.perf_counter()
    vectors = stack.embedder.embed([chunk.embedded_text for chunk in chunks], passages=True)
    metrics.INGESTION_EMBED_SECONDS.inc(time.perf_counter() - started)
    return [
        Embedded(chunk, vector, stack.sparse.document(chunk.embedded_text, chunk.locale))
        for chunk, vector in zip(chunks, vectors, strict=True)
    ]


def draft(stack: Stack, plans: Sequence[WritePlan]) -> None:
    """Records in the ledger which points are about to be written."""
    new = [plan for plan in plans if not plan.same]
    if not new:
        return
    with stack.ledger.session() as session:
        session.add_all(_document(plan) for plan in new if plan.document is None)
        _drop_drafts(session, new)
        session.flush()
        session.add_all(_version(plan, stack.fingerprint.digest) for plan in new)


def put(
    stack: Stack, plans: Sequence[WritePlan], points: Sequence[Embedded], heartbeat: Heartbeat
) -> None:
    """Writes the points and deletes those that an interrupted sync left behind: the flip would
    revive them."""
    if abandoned := sorted(set().union(*(plan.abandoned for plan in plans))):
        stack.index.delete(abandoned)
    if points:
        # Writes all at once: making points durable costs the same for one and for a thousand.
        stack.index.upsert(points)
        heartbeat()


def close(stack: Stack, plans: Sequence[WritePlan]) -> None:
    """Prepares the old points for the flip: those that go end with it, those that stay do not,
    and whoever may not read the document any more is shut out from all its versions."""
    changed: list[Chunk] = []
    for plan in plans:
        if plan.live is None or plan.same:
            continue
        ids = plan.ids
        own = set(plan.live.points)
        for chunk in stack.index.retrieve(sorted(_held(plan))):
            after = chunk
            if chunk.id in own:
                after = chunk.closed(OPEN_VERSION if chunk.id in ids else plan.number)
            fewer = narrowed(chunk.audience, plan.prepared.extracted.meta.audience)
            if fewer is not None:
                after = replace(after, audience=fewer)
            if after != chunk:
                changed.append(after)
    if changed:
        stack.index.update_payload(changed)


def _held(plan: WritePlan) -> set[str]:
    """Returns points of the live version; of all versions, where an audience is narrowed."""
    if plan.live is None:
        return set()
    shut = narrowed(plan.live.audience, plan.prepared.extracted.meta.audience) is not None
    return {id for version in (plan.past if shut else [plan.live]) for id in version.points}


def flip(stack: Stack, lease: Lease, plans: Sequence[WritePlan]) -> None:
    """Makes the new versions live, in one transaction that a lost lease undoes."""
    digest = stack.fingerprint.digest
    same = [plan for plan in plans if plan.same]
    new = [plan for plan in plans if not plan.same]
    with stack.ledger.session() as session:
        lease.renew(session)
        _drop_drafts(session, same)
        _alter(session, [_again(plan, digest) for plan in same])
        _alter(session, [_start(plan) for plan in new])
        _alter(session, [_end(plan) for plan in new if plan.past])
        _many(session, update(Document).where(Document.id == _OF), [_live(plan) for plan in plans])
        clear_failures(session, lease, [plan.prepared.ref.external_id for plan in plans])


def settle(stack: Stack, lease: Lease, plans: Sequence[WritePlan]) -> None:
    """Brings kept points up to date, retires the others, and only then calls the documents done."""
    unsettled = [plan for plan in plans if not _settled_by_flip(plan)]
    if not unsettled:
        return
    with stack.ledger.session() as session:
        # Raises where another writer has taken over: it may use points that this one has given up.
        lease.renew(session)
    changed = [
        chunk for plan in unsettled for chunk in plan.kept if chunk != plan.existing[chunk.id]
    ]
    closed = [chunk for plan in unsettled for chunk in _closed(stack, plan)]
    if changed or closed:
        stack.index.update_payload([*changed, *closed])
    if gone := sorted(set().union(*(_gone(plan) for plan in unsettled))):
        stack.index.delete(gone)
    with stack.ledger.session() as session:
        rows = [{"of": p.prepared.ref.id, "raw_hash": p.prepared.raw_hash} for p in unsettled]
        _many(session, update(Document).where(Document.id == _OF), rows)


def _settled_by_flip(plan: WritePlan) -> bool:
    """Returns whether the flip was all: a first version leaves nothing to clear away."""
    return not plan.past and not plan.same


def _document(plan: WritePlan) -> Document:
    ref = plan.prepared.ref
    return Document(
        id=ref.id,
        workspace=ref.workspace,
        source=ref.source,
        external_id=ref.external_id,
        live=None,
        raw_hash="",
        removed_at=None,
    )


def _version(plan: WritePlan, fingerprint: str) -> Version:
    prepared, meta = plan.prepared, plan.prepared.extracted.meta
    return Version(
        document_id=prepared.ref.id,
        number=plan.number,
        content_hash=prepared.extracted.content_hash,
        raw_hash=prepared.raw_hash,
        fingerprint=fingerprint,
        title=prepared.extracted.title,
        url=meta.url,
        kind=meta.kind,
        locale=meta.locale,
        product=meta.product,
        audience=list(meta.audience),
        meta=_meta(meta),
        sections=prepared.extracted.records,
        points=[chunk.id for chunk in plan.chunks],
        applied_from=NOT_YET,
        applied_until=NOT_YET,
        source_updated_at=prepared.updated_at,
        fetched_at=prepared.fetched_at,
        quarantined=plan.quarantined,
    )


def _meta(meta: Metadata) -> dict[str, Any]:
    """Returns the metadata to keep, with the day that front matter names: `applied_from` is set
    without one as well."""
    said = {} if meta.effective_from is None else {"effective_from": meta.effective_from}
    return {**meta.extra, **said}


_OF: BindParameter[str] = bindparam("of")
_NUMBER: BindParameter[int] = bindparam("version")
_Row = dict[str, Any]
"""Of a statement for many rows: columns by name, and which row it is."""


def _again(plan: WritePlan, fingerprint: str) -> _Row:
    prepared = plan.prepared
    return {
        **_row(plan, plan.number),
        "fingerprint": fingerprint,
        "raw_hash": prepared.raw_hash,
        "source_updated_at": prepared.updated_at,
        "points": [chunk.id for chunk in plan.chunks],
    }


def _start(plan: WritePlan) -> _Row:
    applied = {"applied_from": plan.applied_from, "applied_until": plan.applied_until}
    return {**_row(plan, plan.number), **applied}


def _end(plan: WritePlan) -> _Row:
    """Returns the row that ends the version before at the beginning of the new one."""
    old = plan.past[-1]
    end = max(old.applied_from, min(old.applied_until, plan.applied_from))
    return {**_row(plan, old.number), "applied_until": end}


def _live(plan: WritePlan) -> _Row:
    raw_hash = plan.prepared.raw_hash if _settled_by_flip(plan) else ""
    id = plan.prepared.ref.id
    return {"of": id, "live": plan.number, "removed_at": None, "raw_hash": raw_hash}


def _row(plan: WritePlan, number: int) -> _Row:
    return {"of": plan.prepared.ref.id, "version": number}


def _alter(session: Session, rows: Sequence[_Row]) -> None:
    statement = update(Version).where(Version.document_id == _OF, Version.number == _NUMBER)
    _many(session, statement, rows)


def _many(session: Session, statement: Update, rows: Sequence[_Row]) -> None:
    """Executes on the connection, which sends one statement for all rows."""
    if rows:
        session.connection().execute(statement, rows)


def _drop_drafts(session: Session, plans: Sequence[WritePlan]) -> None:
    ids = [plan.draft.id for plan in plans if plan.draft is not None]
    if ids:
        session.execute(delete(Version).where(Version.id.in_(ids)))


def _steps(plan: WritePlan) -> Iterator[tuple[Version, int, float]]:
    """Yields each superseded version that may still have points of its own, with the number of
    the next version and the moment from which that one applied."""
    document = plan.document
    settled = document is not None and document.live is not None and document.raw_hash
    past = plan.past[-1:] if settled else plan.past
    numbers = [*(version.number for version in past[1:]), plan.number]
    starts = [*(version.applied_from for version in past[1:]), plan.applied_from]
    # Without a past there is nobody to be superseded.
    yield from zip(past, numbers, starts, strict=False)


def _closed(stack: Stack, plan: WritePlan) -> Iterator[Chunk]:
    """Yields the old points that go on answering about their own time, each with its end."""
    for version, until, start in _steps(plan):
        if not stays(version.kind, start):
            continue
        own = set(version.points) - plan.ids - _later(plan, version)
        for chunk in stack.index.retrieve(sorted(own)):
            end = min(chunk.expires_at, int(start))
            if (chunk.until, chunk.expires_at) != (until, end):
                yield replace(chunk, until=until, expires_at=end)


def _gone(plan: WritePlan) -> set[str]:
    kept = plan.ids
    for version, _, start in _steps(plan):
        if stays(version.kind, start):
            kept |= set(version.points)
    return {id for version, _, _ in _steps(plan) for id in version.points} - kept


def _later(plan: WritePlan, version: Version) -> set[str]:
    return {id for other in plan.past if other.number > version.number for id in other.points}


def _slices(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))
