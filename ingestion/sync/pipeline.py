"""Knowledge, written: a source's documents to the index, and out of it again.

A sync may be interrupted anywhere. Until a document's flip its last live version answers, and the
next sync ends in the state that an undisturbed one would have reached.
"""

from ingestion.sources import Source
from ingestion.sync.errors import StepFailed, reason
from ingestion.sync.failures import clear_other_failures
from ingestion.sync.plan import WritePlan
from ingestion.sync.prepare import (
    Prepared,
    batches,
    discover,
    fetch_changed,
    load_known,
    prepare,
)
from ingestion.sync.remove import discard_drafts, remove_hidden, remove_missing
from ingestion.sync.run import ProgressCallback, Report, Run, open_run
from ingestion.sync.slice import SyncSlice
from ingestion.sync.write import write
from twofold.counted import counted
from twofold.errors import Conflict, UpstreamError
from twofold.stack import Stack

FAILURES_IN_A_ROW = 3
"""So many documents failing one after the other to be embedded or written: it is not them."""


def sync(
    stack: Stack,
    workspace: str,
    source: Source,
    progress: ProgressCallback | None = None,
    *,
    allow_removal: bool = False,
) -> Report:
    """Brings the index up to date with a source.

    A document that fails is reported and left as it was. What is gone at the source is removed,
    unless the source could not be listed whole, or it is an unusual share of it and
    `allow_removal` is not set.

    Raises Conflict where another sync of the source runs, InvalidInput where the source is
    suddenly empty (and `allow_removal` is not set), UpstreamError where the source, the embedder
    or the index cannot be reached.
    """
    with open_run(stack.ledger, workspace, source, progress) as run:
        return carry_out(stack, run, source, allow_removal=allow_removal)


def carry_out(
    stack: Stack,
    run: Run,
    source: Source,
    *,
    allow_removal: bool = False,
    turn: SyncSlice | None = None,
) -> Report:
    """Runs a sync whose lease is already held: `sync` without the opening and closing.

    A `turn` that says `unfinished` afterwards has left documents to the next one.
    """
    turn = turn or SyncSlice()
    known = load_known(stack, run)
    items = discover(run, source.discover(), known, allow_removal=allow_removal)
    changed = fetch_changed(run, turn.of(items), known)
    ready = prepare(stack, run, changed)
    for batch in batches(ready):
        write_each(stack, run, batch)
    remove_hidden(stack, run, known)
    if turn.unfinished:
        return run.report()
    if not run.incomplete:
        left_out = {note.document for note in run.left_out}
        found = {item.external_id for item in items} - left_out
        remove_missing(stack, run, known, found, even_many=allow_removal)
    if run.after_crash or run.failures:
        discard_drafts(stack, run.lease)
    clear_other_failures(stack.ledger, run.lease, run.all_failed)
    return run.report()


def write_each(stack: Stack, run: Run, batch: list[Prepared]) -> None:
    """Writes a batch at once; where that fails, one by one, so that one cannot fail the others.

    Raises UpstreamError where they all fail alike: then it is the embedder or the index.
    """
    try:
        _count(run, write(stack, run.lease, batch, run.checkpoint))
    except StepFailed as failure:
        _stop_if_lost(failure)
        in_a_row = 0
        for prepared in batch:
            in_a_row = 0 if _write_one(stack, run, prepared) else in_a_row + 1
            if in_a_row == FAILURES_IN_A_ROW:
                raise UpstreamError(
                    f"The sync stopped: {counted(in_a_row, 'document')} in a row failed at the step"
                    f" {failure.step!r} ({reason(failure.cause)}) What was live still answers."
                    " Mend that, then sync again."
                ) from failure


def _write_one(stack: Stack, run: Run, prepared: Prepared) -> bool:
    try:
        _count(run, write(stack, run.lease, [prepared], run.checkpoint))
    except StepFailed as failure:
        _stop_if_lost(failure)
        run.failed(prepared.ref.external_id, failure)
        return False
    return True


def _count(run: Run, plans: list[WritePlan]) -> None:
    for plan in plans:
        document = plan.prepared.ref.external_id
        run.wrote(document, added=plan.live is None, chunks=len(plan.fresh))


def _stop_if_lost(failure: StepFailed) -> None:
    if isinstance(failure.cause, Conflict):
        raise failure.cause
