"""Some documents of a source, read again: those that failed, or that a webhook named."""

from uuid import uuid4

from sqlalchemy import select

from ingestion.sources import Source
from ingestion.sync import lease as leases
from ingestion.sync.failures import clear_failures
from ingestion.sync.pipeline import write_each
from ingestion.sync.prepare import (
    KnownSource,
    batches,
    discover,
    fetch_changed,
    load_known,
    prepare,
)
from ingestion.sync.remove import remove
from ingestion.sync.run import Report, Run
from twofold.ledger.models import Failure
from twofold.stack import Stack


def refresh(
    stack: Stack, workspace: str, source: Source, documents: list[str], *, wait: float = 0.0
) -> Report:
    """Brings these documents up to date; those gone at the source go. It makes no row of a sync.

    Raises Conflict where a sync of the source runs, and as `sync` does.
    """
    lease = leases.acquire(stack.ledger, workspace, source.name, wait=wait)
    wanted = set(documents)
    with Run(stack.ledger, lease, str(uuid4()), None, kind=source.kind) as run:
        known = load_known(stack, run)
        items = discover(run, source.discover(), known, allow_removal=False)
        chosen = [item for item in items if item.external_id in wanted]
        run.expect(len(chosen))
        ready = prepare(stack, run, fetch_changed(run, chosen, known))
        for batch in batches(ready):
            write_each(stack, run, batch)
        left_out = {note.document for note in run.left_out}
        found = {item.external_id for item in chosen} - left_out
        if not run.incomplete:
            _remove_gone(stack, run, known, wanted - found)
        with stack.ledger.session() as session:
            clear_failures(session, lease, sorted(wanted - run.all_failed))
        return run.report()


def _remove_gone(stack: Stack, run: Run, known: KnownSource, gone: set[str]) -> None:
    if live := sorted(gone & set(known.live)):
        remove(stack, run.lease, live)
        run.removed(live)


def failing(stack: Stack, workspace: str, source: str, until: float) -> list[str]:
    """Returns documents of a source whose next attempt is due."""
    with stack.ledger.session() as session:
        return list(
            session.scalars(
                select(Failure.external_id).where(
                    Failure.workspace == workspace,
                    Failure.source == source,
                    Failure.next_at <= until,
                )
            )
        )
