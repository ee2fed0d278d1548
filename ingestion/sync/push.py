"""Single documents, pushed: the same way into the index as a sync, one document long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from sqlalchemy import select

from ingestion.sources import Fetched, NotRead, check_name
from ingestion.sync import lease as leases
from ingestion.sync.errors import StepFailed, reason
from ingestion.sync.failures import FailureNote, clear_failures, record_failure
from ingestion.sync.lease import Lease
from ingestion.sync.prepare import ChangedDocument, prepare_one
from ingestion.sync.remove import remove
from ingestion.sync.split import TokenCounter
from ingestion.sync.write import write
from twofold import metrics
from twofold.errors import InvalidInput, NotFound, TooLarge, TwofoldError, UpstreamError
from twofold.index.contract import DocumentRef
from twofold.ledger.models import Document, Source, Version
from twofold.stack import Stack

WAIT_SECONDS = 10.0
"""How long a push waits for another writer of its source."""


class PushResult(NamedTuple):
    """What a push came to. `chunks` counts those embedded and written."""

    document: str
    version: int
    outcome: Literal["added", "changed", "unchanged", "skipped"]
    chunks: int
    reason: str = ""
    """Why it was skipped: nobody is told of it, and what was live of it is gone."""


def put_document(
    stack: Stack, workspace: str, source: str, external_id: str, fetched: Fetched
) -> PushResult:
    """Writes one document and return once it answers.

    Raises InvalidInput or TooLarge where it cannot be read, Conflict where the source is being
    written for over ten seconds, UpstreamError where the embedder or the index fails.
    """
    check_document(stack, external_id, fetched)
    ref = DocumentRef(workspace, source, external_id)
    with _held(stack, workspace, source) as lease:
        digest = fetched.digest
        if (number := _live(stack, ref, digest)) is not None:
            _count("unchanged")
            return PushResult(ref.key, number, "unchanged", 0)
        candidate = ChangedDocument(ref, fetched, digest, time.time())
        try:
            prepared = prepare_one(stack, candidate, TokenCounter(stack.embedder.count_tokens))
            (plan,) = write(stack, lease, [prepared], _no_heartbeat)
        except NotRead as out:
            return _left_out(stack, lease, ref, out)
        except StepFailed as failure:
            _record(stack, lease, external_id, failure)
            _count("failed")
            raise _told(failure, ref) from failure
        outcome: Literal["added", "changed"] = "added" if plan.live is None else "changed"
        _count(outcome, len(plan.fresh))
        return PushResult(ref.key, plan.number, outcome, len(plan.fresh))


def _left_out(stack: Stack, lease: Lease, ref: DocumentRef, out: NotRead) -> PushResult:
    with stack.ledger.session() as session:
        document = session.get(Document, ref.id)
    if document is not None and document.live is not None:
        remove(stack, lease, [ref.external_id])
    _count("skipped")
    return PushResult(ref.key, 0, "skipped", 0, out.reason)


def delete_document(stack: Stack, workspace: str, source: str, external_id: str) -> None:
    """Takes one document out. Raises NotFound where none is live under this name."""
    check_live(stack, workspace, source, external_id)
    with _held(stack, workspace, source) as lease:
        remove(stack, lease, [external_id])
        _count("removed")


def _count(outcome: str, chunks: int = 0) -> None:
    metrics.INGESTION_DOCUMENTS.labels("push", outcome).inc()
    metrics.INGESTION_CHUNKS.inc(chunks)


def check_live(stack: Stack, workspace: str, source: str, external_id: str) -> None:
    """Raises NotFound where no such document is live, and none is half removed."""
    ref = DocumentRef(workspace, source, external_id)
    with stack.ledger.session() as session:
        document = session.get(Document, ref.id)
    # A removal that was cut off has left its hash: points are still to be deleted.
    if document is None or (document.live is None and not document.raw_hash):
        raise NotFound(f"There is no live document {ref.key!r}.")


@contextmanager
def _held(stack: Stack, workspace: str, source: str) -> Iterator[Lease]:
    accept_pushes(stack, workspace, source)
    with leases.held(stack.ledger, workspace, source, WAIT_SECONDS) as lease:
        yield lease


def accept_pushes(stack: Stack, workspace: str, source: str) -> None:
    """Registers a source for pushes. Raises InvalidInput where it is one that is synced."""
    check_name(source)
    with stack.ledger.session() as session:
        kind = session.scalar(
            select(Source.kind).where(Source.workspace == workspace, Source.name == source)
        )
    if kind not in (None, "push"):
        raise InvalidInput(
            f"Source {source!r} is of kind {kind!r}: its next sync would undo this."
            " Push to a source of its own, or change the file."
        )
    if kind is None:
        leases.register(stack.ledger, workspace, source, "push", {})


def check_document(stack: Stack, external_id: str, fetched: Fetched) -> None:
    """Raises InvalidInput or TooLarge where the document is refused whatever it says."""
    climbs = {".", ".."} & set(external_id.split("/"))
    if not external_id.strip() or len(external_id) > 500 or not external_id.isprintable() or climbs:
        raise InvalidInput(
            f"{external_id[:80]!r} cannot name a document. Use 1 to 500 printable characters, and"
            " no . or .. between slashes."
        )
    limit = stack.settings.max_file_mb
    if len(fetched.raw) > limit * 1e6:
        raise TooLarge(
            f"{external_id} is {len(fetched.raw) / 1e6:.1f} MB, over the limit of {limit:g} MB."
            " Split it, or raise TWOFOLD_MAX_FILE_MB."
        )


def _live(stack: Stack, ref: DocumentRef, raw_hash: str) -> int | None:
    """Returns the number of the live version, if it says exactly this and nothing is left to do."""
    with stack.ledger.session() as session:
        document = session.get(Document, ref.id)
        if document is None or document.live is None or document.raw_hash != raw_hash:
            return None
        fingerprint = session.scalar(
            select(Version.fingerprint).where(
                Version.document_id == ref.id, Version.number == document.live
            )
        )
        if fingerprint != stack.fingerprint.digest:
            return None
        clear_failures(session, Lease(ref.workspace, ref.source, ""), [ref.external_id])
        return document.live


def _record(stack: Stack, lease: Lease, external_id: str, failure: StepFailed) -> None:
    with stack.ledger.session() as session:
        # Raises where another writer has taken over: the failure is then not ours to record.
        lease.renew(session)
        note = FailureNote(external_id, failure.step, reason(failure.cause))
        record_failure(session, lease, note)


def _told(failure: StepFailed, ref: DocumentRef) -> TwofoldError:
    if isinstance(failure.cause, TwofoldError):
        return type(failure.cause)(f"{ref.key}: {failure.cause.message}")
    return UpstreamError(
        f"{ref.key} failed at the step {failure.step!r}: {reason(failure.cause)}"
        " What was live still answers; send it again."
    )


def _no_heartbeat() -> None:
    """Does nothing: a push is short, and does not say how far it is."""
