"""What the ledger knows of sources, documents and syncs, for people to read."""

import shlex
import time
from typing import Any, Final, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from twofold.errors import NotFound
from twofold.ledger import Ledger
from twofold.ledger.documents import find_document
from twofold.ledger.models import Document, Failure, Job, Source, Sync, Version

NOTHING_INDEXED: Final = (
    "Nothing is indexed yet, so every question goes to a person."
    " Index the documents: twofold ingest PATH --source NAME"
)


class SyncStatus(NamedTuple):
    """A sync under way or ended. `eta` is seconds to go, None where that cannot be said."""

    id: str
    source: str
    state: str
    started_at: float
    finished_at: float | None
    total: int
    done: int
    eta: float | None
    counts: dict[str, Any]
    error: str


class SourceStatus(NamedTuple):
    name: str
    kind: str
    config: dict[str, Any]
    documents: int
    """Live ones."""
    chunks: int
    failed: int
    last_sync: SyncStatus | None


class FailureStatus(NamedTuple):
    """A document left out; `retry` is the command that tries it again."""

    document: str
    step: str
    reason: str
    attempts: int
    first_at: float
    last_at: float
    next_at: float | None
    """When it is tried again by itself; None for a dead letter."""
    retry: str


class VersionStatus(NamedTuple):
    number: int
    live: bool
    title: str
    url: str
    kind: str
    locale: str
    audience: list[str]
    applied_from: float
    applied_until: float
    source_updated_at: float
    fetched_at: float
    points: list[str]
    sections: list[dict[str, Any]]


class DocumentStatus(NamedTuple):
    document: str
    id: str
    live: int | None
    removed_at: float | None
    versions: list[VersionStatus]


class KnowledgeStatus(NamedTuple):
    sources: list[SourceStatus]
    documents: int
    chunks: int
    failures: list[FailureStatus]

    def record(self) -> dict[str, Any]:
        return {
            "sources": [source_record(source) for source in self.sources],
            "documents": self.documents,
            "chunks": self.chunks,
            "failures": [failure._asdict() for failure in self.failures],
        }


def source_record(source: SourceStatus) -> dict[str, Any]:
    last = source.last_sync
    return {**source._asdict(), "last_sync": last and last._asdict()}


def document_record(document: DocumentStatus) -> dict[str, Any]:
    return {**document._asdict(), "versions": [v._asdict() for v in document.versions]}


def knowledge_status(ledger: Ledger, workspace: str) -> KnowledgeStatus:
    """Returns everything about a workspace's knowledge that the ledger alone can say."""
    with ledger.session() as session:
        sources = _sources(session, workspace)
        failures = session.scalars(
            select(Failure)
            .where(Failure.workspace == workspace)
            .order_by(Failure.source, Failure.external_id)
        ).all()
        dead = _dead(session, workspace, {(row.source, row.external_id) for row in failures})
        return KnowledgeStatus(
            sources,
            sum(source.documents for source in sources),
            sum(source.chunks for source in sources),
            [*map(_failure, failures), *dead],
        )


def nothing_indexed(ledger: Ledger, workspace: str) -> bool:
    with ledger.session() as session:
        live = select(Document.id).where(
            Document.workspace == workspace, Document.live.is_not(None)
        )
        return session.scalar(live.limit(1)) is None


def list_sources(ledger: Ledger, workspace: str) -> list[SourceStatus]:
    with ledger.session() as session:
        return _sources(session, workspace)


def find_source(ledger: Ledger, workspace: str, name: str) -> SourceStatus:
    """Raises NotFound."""
    for source in list_sources(ledger, workspace):
        if source.name == name:
            return source
    raise NotFound(
        f"There is no source {name!r}. Add it with `twofold sources add {name} --kind KIND`, or"
        " POST /v1/sources."
    )


def sync_status(ledger: Ledger, workspace: str, id: str) -> SyncStatus:
    """Raises NotFound."""
    with ledger.session() as session:
        row = session.get(Sync, id)
        if row is not None and row.workspace == workspace:
            return _sync(row)
        job = session.get(Job, id)
        if job is not None and job.workspace == workspace:
            return _job(job)
        raise NotFound(f"There is no sync {id!r}.")


def show_document(ledger: Ledger, workspace: str, name: str) -> DocumentStatus:
    """Returns a document and its versions, by any of its names. Raises NotFound."""
    with ledger.session() as session:
        document = find_document(session, workspace, name)
        versions = [_version(version, document.live) for version in document.versions]
        key = f"{document.source}/{document.external_id}"
        return DocumentStatus(key, document.id, document.live, document.removed_at, versions)


def _sources(session: Session, workspace: str) -> list[SourceStatus]:
    documents = {
        source: (count, chunks or 0)
        for source, count, chunks in session.execute(
            select(Document.source, func.count(), func.sum(func.json_array_length(Version.points)))
            .join(Version, (Version.document_id == Document.id) & (Version.number == Document.live))
            .where(Document.workspace == workspace)
            .group_by(Document.source)
        )
    }
    counted = session.execute(
        select(Failure.source, func.count())
        .where(Failure.workspace == workspace)
        .group_by(Failure.source)
    ).all()
    failed = {row[0]: row[1] for row in counted}
    rows = session.scalars(
        select(Source).where(Source.workspace == workspace).order_by(Source.name)
    )
    return [
        SourceStatus(
            row.name,
            row.kind,
            row.config,
            *documents.get(row.name, (0, 0)),
            failed.get(row.name, 0),
            _last_sync(session, row),
        )
        for row in rows
    ]


def _last_sync(session: Session, source: Source) -> SyncStatus | None:
    row = session.scalar(
        select(Sync)
        .where(Sync.workspace == source.workspace, Sync.source == source.name)
        .order_by(Sync.started_at.desc())
        .limit(1)
    )
    return _sync(row) if row is not None else None


def _sync(row: Sync) -> SyncStatus:
    eta = None
    if row.state == "running" and row.done:
        eta = round((time.time() - row.started_at) / row.done * (row.total - row.done), 1)
    return SyncStatus(
        row.id,
        row.source,
        row.state,
        row.started_at,
        row.finished_at,
        row.total,
        row.done,
        eta,
        row.counts,
        row.error,
    )


def _job(row: Job) -> SyncStatus:
    """Returns the status of a job without a sync: a pushed document, or some that are read
    again."""
    state = {"waiting": "queued", "dead": "failed", "superseded": "done"}.get(row.state, row.state)
    total = max(1, len(row.payload.get("documents", ())))
    return SyncStatus(
        row.id,
        row.source,
        state,
        row.created_at,
        row.finished_at,
        total,
        total if state == "done" else 0,
        None,
        row.result,
        row.error,
    )


def _dead(session: Session, workspace: str, failed: set[tuple[str, str]]) -> list[FailureStatus]:
    """Returns jobs that were given up, and of which no document tells."""
    rows = session.scalars(
        select(Job).where(Job.workspace == workspace, Job.state == "dead", Job.task != "sync")
    )
    return [
        FailureStatus(
            f"{row.source}/{row.payload.get('external_id', '')}",
            row.task,
            row.error,
            row.attempts,
            row.created_at,
            row.finished_at or row.created_at,
            None,
            f"twofold knowledge retry {row.source}",
        )
        for row in rows
        if (row.source, row.payload.get("external_id", "")) not in failed
    ]


def _failure(row: Failure) -> FailureStatus:
    return FailureStatus(
        f"{row.source}/{row.external_id}",
        row.step,
        row.reason,
        row.attempts,
        row.first_at,
        row.last_at,
        row.next_at,
        f"twofold knowledge retry {row.source} {shlex.quote(row.external_id)}",
    )


def _version(row: Version, live: int | None) -> VersionStatus:
    return VersionStatus(
        row.number,
        row.number == live,
        row.title,
        row.url,
        row.kind,
        row.locale,
        row.audience,
        row.applied_from,
        row.applied_until,
        row.source_updated_at,
        row.fetched_at,
        row.points,
        row.sections,
    )
