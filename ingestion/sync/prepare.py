"""Raw documents to texts ready to embed: fetch, compare, extract, split."""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, or_, select

from ingestion.extract import Extracted, extract
from ingestion.sources import Fetched, Incomplete, Item, NotRead, Source
from ingestion.sync.errors import StepFailed, step
from ingestion.sync.run import Run
from ingestion.sync.split import Budget, ChunkText, TokenCounter, split
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.index.contract import DocumentRef
from twofold.ledger.models import Document, Version
from twofold.stack import Stack
from twofold.zone import house_zone

BATCH_DOCUMENTS = 128
BATCH_CHUNKS = 512
"""Making points durable costs as much for few as for many; but documents wait for their batch."""
AHEAD_DOCUMENTS = BATCH_DOCUMENTS
AHEAD_BYTES = 8_000_000
"""So much at most is read before it is needed: the next batch, while one is embedded."""
RENEW_SECONDS = 5.0
UNCHANGED_AT_ONCE = 64
"""Counted together: one by one, counting would cost a tenth of reading."""


class KnownSource(NamedTuple):
    """What the ledger holds of a source when a sync begins."""

    settled: Mapping[str, str]
    """external id -> raw hash, of documents of which nothing remains to be done."""
    live: Sequence[str]
    """External ids of documents that answer."""
    removed: Sequence[str]
    """Those of documents whose removal was interrupted before their points were gone."""


class ChangedDocument(NamedTuple):
    """A document that differs from what is live."""

    ref: DocumentRef
    fetched: Fetched
    raw_hash: str
    fetched_at: float


@dataclass(frozen=True)
class Prepared:
    """A document ready to embed and write. Times are epoch seconds."""

    ref: DocumentRef
    raw_hash: str
    fetched_at: float
    updated_at: float
    extracted: Extracted
    pieces: Sequence[ChunkText]


def load_known(stack: Stack, run: Run) -> KnownSource:
    """Returns all hashes of the source, and which documents were made by another fingerprint."""
    own = and_(Document.workspace == run.workspace, Document.source == run.source)
    # An index that was lost is filled again from the source.
    filled = next(stack.index.ids(run.workspace), None) is not None
    digest = stack.fingerprint.digest
    with stack.ledger.session() as session:
        # On the connection: a session's own row handling costs half as much again.
        documents = (
            session.connection()
            .execute(select(Document.external_id, Document.raw_hash, Document.live).where(own))
            .all()
        )
        # Hardly ever any: looked for without the join, which costs as much as all the hashes, and
        # on both sides, because an index knows no "unequal".
        other = or_(Version.fingerprint < digest, Version.fingerprint > digest)
        outdated: set[str] = set()
        if session.scalar(select(Version.id).where(other).limit(1)) is not None:
            ours = select(Document.external_id).join(Version)
            live_now = Version.number == Document.live
            outdated = set(session.scalars(ours.where(own, live_now, other)))
    live = [external_id for external_id, _, number in documents if number is not None]
    removed = [each for each, raw_hash, number in documents if number is None and raw_hash]
    settled = {each: raw_hash for each, raw_hash, number in documents if number is not None}
    for external_id in outdated if filled else live:
        del settled[external_id]
    return KnownSource(settled, live, removed)


def discover(
    run: Run, items: Iterator[Item], known: KnownSource, *, allow_removal: bool
) -> list[Item]:
    """Returns everything that the source has. Raises InvalidInput where it suddenly has nothing
    at all."""
    found: list[Item] = []
    renewed = time.monotonic()
    try:
        for item in items:
            found.append(item)
            # A site is visited for longer than a lease lasts.
            if time.monotonic() - renewed > RENEW_SECONDS:
                run.checkpoint()
                renewed = time.monotonic()
    except Incomplete as error:
        if not found:
            raise
        run.incomplete = error.message
    if not found and known.live and not allow_removal:
        raise InvalidInput(
            f"Source {run.source!r} holds no documents now, but"
            f" {counted(len(known.live), 'is', 'are')} live from it. Check its path; to"
            " remove them all, sync again with --allow-empty."
        )
    run.expect(len(found))
    return found


def fetch_changed(run: Run, items: Iterable[Item], known: KnownSource) -> Iterator[ChangedDocument]:
    """Reads each document and yields those whose bytes differ from the live version's."""
    settled = known.settled
    unchanged = 0
    for item in items:
        external_id = item.external_id
        wanted = settled.get(external_id)
        # In an unchanged sync most documents are compared at the source, without being read.
        if wanted and (same := getattr(item, "same", None)) is not None and same(wanted):
            unchanged += 1
            if unchanged == UNCHANGED_AT_ONCE:
                run.unchanged(unchanged)
                unchanged = 0
            continue
        try:
            fetched = item.fetch()
        except NotRead as out:
            run.leave_out(_printable(external_id), out)
            continue
        except Exception as error:
            run.failed(_printable(external_id), StepFailed("fetch", error))
            continue
        digest = fetched.digest
        if wanted == digest:
            run.unchanged()
            continue
        ref = DocumentRef(run.workspace, run.source, external_id)
        yield ChangedDocument(ref, fetched, digest, time.time())
    if unchanged:
        run.unchanged(unchanged)


def prepare(stack: Stack, run: Run, candidates: Iterator[ChangedDocument]) -> Iterator[Prepared]:
    """Extracts and splits some documents ahead, while the embedder, which takes most of a sync,
    leaves this process the time for it. A document that cannot be prepared is recorded and left
    out."""
    tokens = TokenCounter(stack.embedder.count_tokens)
    ahead: deque[tuple[ChangedDocument, Future[Prepared]]] = deque()
    pool = ThreadPoolExecutor(1, "prepare")
    try:
        for candidate in candidates:
            ahead.append((candidate, pool.submit(prepare_one, stack, candidate, tokens)))
            # A slow source is waited for with nothing left undone that is ready.
            while ahead and (ahead[0][1].done() or _enough(ahead)):
                yield from _taken(run, *ahead.popleft())
        while ahead:
            yield from _taken(run, *ahead.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def _enough(ahead: Sequence[tuple[ChangedDocument, Any]]) -> bool:
    if len(ahead) < AHEAD_DOCUMENTS:
        return sum(len(each.fetched.raw) for each, _ in ahead) > AHEAD_BYTES
    return True


def _taken(
    run: Run, candidate: ChangedDocument, prepared: "Future[Prepared]"
) -> Iterator[Prepared]:
    try:
        ready = prepared.result()
    except NotRead as out:
        run.leave_out(candidate.ref.external_id, out)
    except StepFailed as failure:
        run.failed(candidate.ref.external_id, failure)
    else:
        yield ready


def prepare_one(stack: Stack, candidate: ChangedDocument, tokens: TokenCounter) -> Prepared:
    """Raises StepFailed naming `extract` or `split`, and NotRead where it is to be left out."""
    ref, fetched, raw_hash, fetched_at = candidate
    with step("extract"):
        zone = house_zone(stack.settings.house_file)
        extracted = extract(ref.external_id, fetched, zone=zone)
    if extracted.skipped:
        raise NotRead(extracted.skipped, hidden=extracted.hidden)
    with step("split"):
        budget = Budget(stack.settings.chunk_tokens, stack.embedder.max_tokens)
        pieces = split(extracted.title, extracted.sections, budget, tokens)
    updated_at = extracted.meta.updated_at or fetched.updated_at or fetched_at
    return Prepared(ref, raw_hash, fetched_at, updated_at, extracted, pieces)


def read_one(stack: Stack, source: Source, external_id: str) -> dict[str, Any]:
    """Returns what a source gives of a document now: its `text` as a sync would read it, and the
    `raw_hash` of its bytes. Raises NotFound, or InvalidInput where it cannot be read."""
    if source.kind != "folder":
        raise NotFound(f"Of a source of kind {source.kind!r} no document is read alone.")
    item = next((each for each in source.discover() if each.external_id == external_id), None)
    if item is None:
        raise NotFound(f"Source {source.name!r} has no {external_id!r} now.")
    try:
        fetched = item.fetch()
    except NotRead as out:
        raise InvalidInput(str(out)) from out
    extracted = extract(external_id, fetched, zone=house_zone(stack.settings.house_file))
    text = "\n\n".join(section.text for section in extracted.sections)
    return {"text": text, "raw_hash": fetched.digest, "skipped": extracted.skipped}


def batches(documents: Iterator[Prepared]) -> Iterator[list[Prepared]]:
    """Yields enough documents at a time to keep the embedder busy, few enough to hold in memory."""
    held: list[Prepared] = []
    chunks = 0
    for document in documents:
        held.append(document)
        chunks += len(document.pieces)
        if len(held) >= BATCH_DOCUMENTS or chunks >= BATCH_CHUNKS:
            yield held
            held, chunks = [], 0
    if held:
        yield held


def _printable(external_id: str) -> str:
    return external_id.encode(errors="backslashreplace").decode()
