"""What writing a document comes to: its chunks, and which of them the index lacks."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from ingestion.sync.prepare import Prepared
from twofold.index.contract import BEGINNING, FOREVER, PUBLIC, Chunk, content_hash, point_id
from twofold.index.stores import require_live
from twofold.ledger.models import Document, Version
from twofold.stack import Stack

NOT_YET = float(FOREVER)
"""`applied_from` of a version that was never live: a draft, which any later sync may discard."""


@dataclass(frozen=True)
class WritePlan:
    """One document's way into the index.

    `live` is the version that answers now; `past` all that ever did, oldest first, without the one
    that is written. `draft` is what an interrupted sync left.
    """

    prepared: Prepared
    document: Document | None
    live: Version | None
    past: Sequence[Version]
    draft: Version | None
    number: int
    chunks: Sequence[Chunk]
    existing: Mapping[str, Chunk]
    """Chunks of the live version that stay, as they stand in the index, by id."""
    quarantined: bool = False
    """An edit does not lift a quarantine: whoever planted the text could make one."""

    @property
    def same(self) -> bool:
        """Whether the live version says this already: only what was interrupted is left to do."""
        return self.live is not None and self.live.number == self.number

    @property
    def ids(self) -> set[str]:
        return {chunk.id for chunk in self.chunks}

    @property
    def fresh(self) -> list[Chunk]:
        """Chunks to embed."""
        return [chunk for chunk in self.chunks if chunk.id not in self.existing]

    @property
    def kept(self) -> list[Chunk]:
        """Chunks that need no vector, as their payload should be."""
        return [
            carried(chunk, self.existing[chunk.id])
            for chunk in self.chunks
            if chunk.id in self.existing
        ]

    @property
    def abandoned(self) -> set[str]:
        """Points of a draft that nobody will publish."""
        held = set(self.live.points) if self.live else set()
        return (set(self.draft.points) if self.draft else set()) - self.ids - held

    @property
    def applied_from(self) -> float:
        """From when the version applies. A policy's successor applies from a day; an edited
        article was never right before the edit, so its text stands for all its time."""
        meta = self.prepared.extracted.meta
        if meta.effective_from is not None:
            return float(meta.effective_from)
        if not self.past or meta.kind != "policy":
            return float(BEGINNING)
        return min(self.prepared.updated_at, self.prepared.fetched_at)

    @property
    def applied_until(self) -> float:
        expires_at = self.prepared.extracted.meta.expires_at
        return float(FOREVER if expires_at is None else expires_at)


def make_plans(stack: Stack, batch: Sequence[Prepared]) -> list[WritePlan]:
    """Compares a batch with ledger and index: two queries and one look-up for all of it."""
    with stack.ledger.session() as session:
        documents, versions = _load(session, [prepared.ref.id for prepared in batch])
    plans = [
        _plan(prepared, documents.get(prepared.ref.id), versions.get(prepared.ref.id, []))
        for prepared in batch
    ]
    digest = stack.fingerprint.digest
    if any(plan.live is not None and plan.live.fingerprint != digest for plan in plans):
        require_live(stack.settings, stack.fingerprint)
    wanted = [
        id
        for plan in plans
        if plan.live is not None and plan.live.fingerprint == digest
        for id in sorted(plan.ids & set(plan.live.points))
    ]
    found = {chunk.id: chunk for chunk in stack.index.retrieve(wanted)} if wanted else {}
    return [
        replace(plan, existing={id: found[id] for id in plan.ids & found.keys()}) for plan in plans
    ]


class HasPoints(Protocol):
    """Of a version: its kind and its point ids."""

    @property
    def kind(self) -> str: ...

    @property
    def points(self) -> list[str]: ...


def kept_for_past(kind: str) -> bool:
    """Returns whether a superseded version must go on answering questions about its own time."""
    return kind == "policy"


def stays(kind: str, successor_from: float) -> bool:
    """Returns whether the version stays: for questions about its time, or until its successor
    applies at all."""
    return kept_for_past(kind) or successor_from > time.time()


def _load(
    session: Session, ids: Sequence[str]
) -> tuple[dict[str, Document], dict[str, list[Version]]]:
    documents = session.scalars(select(Document).where(Document.id.in_(ids)))
    rows = session.scalars(
        select(Version)
        .where(Version.document_id.in_(ids))
        .order_by(Version.number)
        .options(
            load_only(
                Version.document_id,
                Version.number,
                Version.content_hash,
                Version.raw_hash,
                Version.fingerprint,
                Version.kind,
                Version.audience,
                Version.points,
                Version.quarantined,
                Version.applied_from,
                Version.applied_until,
            )
        )
    )
    versions: dict[str, list[Version]] = {}
    for row in rows:
        versions.setdefault(row.document_id, []).append(row)
    return {document.id: document for document in documents}, versions


def _plan(prepared: Prepared, document: Document | None, versions: Sequence[Version]) -> WritePlan:
    past = [version for version in versions if version.applied_from != NOT_YET]
    draft = next((version for version in versions if version.applied_from == NOT_YET), None)
    number = document.live if document is not None else None
    live = next((version for version in past if version.number == number), None)
    same = live is not None and live.content_hash == prepared.extracted.content_hash
    number = live.number if live and same else max((v.number for v in past), default=0) + 1
    hidden = bool(past) and past[-1].quarantined
    past = [version for version in past if version.number != number]
    taken = taken_points(past, live)
    made = make_chunks(prepared, number, taken)
    chunks = [replace(chunk, quarantined=hidden) for chunk in made]
    return WritePlan(prepared, document, live, past, draft, number, chunks, {}, hidden)


def taken_points(past: Iterable[HasPoints], live: HasPoints | None) -> set[str]:
    """Returns points that answer for superseded policies: a text that returns must not take them
    over."""
    held = set(live.points) if live else set()
    return {id for version in past if kept_for_past(version.kind) for id in version.points} - held


def make_chunks(prepared: Prepared, number: int, taken: set[str]) -> list[Chunk]:
    used = set(taken)
    chunks: list[Chunk] = []
    for position, piece in enumerate(prepared.pieces):
        chunk = _chunk(prepared, number, position, piece.heading_path, piece.text)
        digest = content_hash(chunk.embedded_text)
        occurrence = 0
        while (id := point_id(chunk.document, piece.heading_path, digest, occurrence)) in used:
            occurrence += 1
        used.add(id)
        chunks.append(replace(chunk, id=id))
    return chunks


def _chunk(
    prepared: Prepared, number: int, position: int, heading_path: tuple[str, ...], text: str
) -> Chunk:
    ref, meta = prepared.ref, prepared.extracted.meta
    return Chunk(
        id="",
        workspace=ref.workspace,
        source=ref.source,
        document=ref.id,
        key=ref.key,
        since=number,
        title=prepared.extracted.title,
        heading_path=heading_path,
        text=text,
        position=position,
        kind=meta.kind,
        locale=meta.locale,
        audience=meta.audience,
        product=meta.product,
        url=meta.url,
        effective_from=BEGINNING if meta.effective_from is None else meta.effective_from,
        expires_at=FOREVER if meta.expires_at is None else meta.expires_at,
        updated_at=int(prepared.updated_at),
    )


def carried(chunk: Chunk, existing: Chunk) -> Chunk:
    """Returns a chunk of two versions with the time of both; the ledger says which one applies."""
    start = chunk.effective_from
    if existing.kind == "policy" and chunk.kind == "policy":
        start = min(start, existing.effective_from)
    return replace(chunk, since=existing.since, effective_from=start)


def narrowed(old: Sequence[str], new: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the audience that may still read, where `new` shuts out somebody whom `old` let
    in."""
    if PUBLIC in new or set(old) <= set(new):
        return None
    return tuple(new) if PUBLIC in old else tuple(name for name in old if name in new)
