"""Documents hidden from every answer at once, and let back: in the ledger and in the index."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import select, update

from ingestion.sync.status import show_document
from ingestion.upkeep.reconcile import held
from twofold.errors import NotFound
from twofold.ledger.models import Version
from twofold.stack import Stack

BATCH = 500


def quarantine(stack: Stack, workspace: str, names: Sequence[str]) -> list[str]:
    """Hides documents, by any of the names that `show_document` takes, and returns their full
    names. It outlasts edits of the document, until `release`. Raises NotFound before anything is
    hidden."""
    return _mark(stack, workspace, names, hidden=True)


def release(stack: Stack, workspace: str, names: Sequence[str]) -> list[str]:
    """Lets documents answer again. Raises NotFound, and changes nothing, where one is unknown."""
    return _mark(stack, workspace, names, hidden=False)


def _mark(stack: Stack, workspace: str, names: Sequence[str], *, hidden: bool) -> list[str]:
    found = [show_document(stack.ledger, workspace, name) for name in names]
    for document in found:
        if document.live is None:
            raise NotFound(f"{document.document!r} is removed already.")
    sources = {document.document.partition("/")[0] for document in found}
    with held(stack, workspace, sources):
        ids = [document.id for document in found]
        # The ledger first: where this is interrupted, the next reconcile finishes it.
        _in_ledger(stack, ids, hidden=hidden)
        _in_index(stack, ids, hidden=hidden)
    return [document.document for document in found]


def _in_ledger(stack: Stack, ids: Sequence[str], *, hidden: bool) -> None:
    with stack.ledger.session() as session:
        session.execute(
            update(Version).where(Version.document_id.in_(ids)).values(quarantined=hidden)
        )


def _in_index(stack: Stack, ids: Sequence[str], *, hidden: bool) -> None:
    with stack.ledger.session() as session:
        rows = session.scalars(select(Version.points).where(Version.document_id.in_(ids)))
        points = sorted({point for some in rows for point in some})
    for start in range(0, len(points), BATCH):
        chunks = stack.index.retrieve(points[start : start + BATCH])
        changed = [replace(c, quarantined=hidden) for c in chunks if c.quarantined != hidden]
        if changed:
            stack.index.update_payload(changed)
