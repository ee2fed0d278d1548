"""What the index should hold of a document, said by its versions in the ledger alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import select

from ingestion.extract import Block, Extracted, Metadata, Section
from ingestion.sync.plan import (
    NOT_YET,
    carried,
    make_chunks,
    narrowed,
    stays,
    taken_points,
)
from ingestion.sync.prepare import Prepared
from ingestion.sync.split import Budget, ChunkText, TokenCounter, split
from twofold.index.contract import BEGINNING, FOREVER, KINDS, Chunk, DocumentRef
from twofold.ledger import Ledger
from twofold.ledger.models import Document, Version
from twofold.stack import Stack
from twofold.text import blocks as prose

BATCH = 64


class VersionHistory(NamedTuple):
    """A document and every version that was ever live, oldest first."""

    document: Document
    versions: Sequence[Version]


class ExpectedPoints(NamedTuple):
    """`chunks` by id, in reading order; `points` of each version that has any, by row id."""

    document: Document
    chunks: dict[str, Chunk]
    points: dict[int, list[str]]


class Replayer:
    """Computes the points that a document's versions gave, one after the other, with the
    splitter of one stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._tokens = TokenCounter(stack.embedder.count_tokens)

    def expected(self, standing: VersionHistory) -> ExpectedPoints:
        """Returns the points that undisturbed syncs would have left."""
        document, versions = standing
        state: dict[str, Chunk] = {}
        points: dict[int, list[str]] = {}
        history = _since_removal(versions) if document.live is not None else []
        for at, version in enumerate(history):
            past = history[:at]
            # `taken_points` and the steps below read a version's points: these, not the stored.
            drawn = [_redrawn(each, points[each.id]) for each in past]
            before = drawn[-1] if drawn else None
            chunks = self._chunks(document, version, taken_points(drawn, before))
            points[version.id] = [chunk.id for chunk in chunks]
            state = _next(state, drawn, version, chunks)
        return ExpectedPoints(document, state, points)

    def _chunks(self, document: Document, version: Version, taken: set[str]) -> list[Chunk]:
        ref = DocumentRef(document.workspace, document.source, document.external_id)
        sections = [_section(record) for record in version.sections]
        extracted = Extracted(version.title, tuple(sections), _metadata(version))
        prepared = Prepared(
            ref,
            version.raw_hash,
            version.fetched_at,
            version.source_updated_at,
            extracted,
            self._pieces(extracted),
        )
        made = make_chunks(prepared, version.number, taken)
        return [replace(chunk, quarantined=version.quarantined) for chunk in made]

    def _pieces(self, extracted: Extracted) -> list[ChunkText]:
        budget = Budget(self._stack.settings.chunk_tokens, self._stack.embedder.max_tokens)
        return split(extracted.title, extracted.sections, budget, self._tokens)


def standings(
    ledger: Ledger, workspace: str, source: str, ids: Sequence[str] | None = None
) -> Iterator[list[VersionHistory]]:
    """Yields documents of a source (or those among `ids`), removed ones too, some at a time."""
    if ids is None:
        with ledger.session() as session:
            own = (Document.workspace == workspace, Document.source == source)
            ids = session.scalars(select(Document.id).where(*own).order_by(Document.id)).all()
    for start in range(0, len(ids), BATCH):
        some = ids[start : start + BATCH]
        with ledger.session() as session:
            documents = session.scalars(select(Document).where(Document.id.in_(some))).all()
            rows = session.scalars(
                select(Version)
                .join(Document)
                .where(
                    Version.document_id.in_(some),
                    Version.number <= Document.live,
                    Version.applied_from != NOT_YET,
                )
                .order_by(Version.number)
            ).all()
        versions: dict[str, list[Version]] = {}
        for row in rows:
            versions.setdefault(row.document_id, []).append(row)
        yield [VersionHistory(each, versions.get(each.id, [])) for each in documents]


def _section(record: dict[str, Any]) -> Section:
    if "blocks" in record:
        return Section.of_record(record)
    # The version was written before blocks were kept.
    text = record["text"]
    blocks = (Block(each.kind, text[slice(*each.span)]) for each in prose.blocks(text))
    return Section(tuple(record["heading_path"]), tuple(blocks), record["line"])


def _since_removal(versions: Sequence[Version]) -> Sequence[Version]:
    """Returns the versions since the last removal, which took all points of those before."""
    gone = [at for at, version in enumerate(versions) if not version.points]
    return versions[gone[-1] + 1 :] if gone else versions


def _redrawn(version: Version, points: list[str]) -> "_Drawn":
    return _Drawn(version.number, version.kind, version.audience, points, version.applied_from)


class _Drawn(NamedTuple):
    """What later versions ask of an earlier one, with the points that this splitter gives it."""

    number: int
    kind: str
    audience: list[str]
    points: list[str]
    applied_from: float


def _next(
    state: dict[str, Chunk], past: Sequence[_Drawn], version: Version, chunks: Sequence[Chunk]
) -> dict[str, Chunk]:
    """Returns the index after this version, from the index after the one before."""
    if not past:
        return {chunk.id: chunk for chunk in chunks}
    before = past[-1]
    ids = {chunk.id for chunk in chunks}
    kept = {
        chunk.id: carried(chunk, state[chunk.id]) if chunk.id in before.points else chunk
        for chunk in chunks
    }
    left = {id: _narrowed(chunk, before, version) for id, chunk in state.items() if id not in ids}
    for id in before.points:
        if id in ids or id not in left:
            continue
        if stays(before.kind, version.applied_from):
            end = min(left[id].expires_at, int(version.applied_from))
            left[id] = replace(left[id], until=version.number, expires_at=end)
        else:
            del left[id]
    return {**kept, **left}


def _narrowed(chunk: Chunk, before: _Drawn, version: Version) -> Chunk:
    if narrowed(before.audience, version.audience) is None:
        return chunk
    fewer = narrowed(chunk.audience, version.audience)
    return chunk if fewer is None else replace(chunk, audience=fewer)


def _metadata(version: Version) -> Metadata:
    said = version.meta.get("effective_from")
    if said is None and version.applied_from > BEGINNING and version.number == 1:
        said = int(version.applied_from)
    return Metadata(
        kind=next(kind for kind in KINDS if kind == version.kind),
        audience=tuple(version.audience),
        locale=version.locale,
        product=version.product,
        url=version.url,
        effective_from=said,
        expires_at=None if version.applied_until >= FOREVER else int(version.applied_until),
    )
