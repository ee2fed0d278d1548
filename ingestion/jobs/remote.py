"""Work for the server that runs on this home: it alone may write the index that it has open."""

import time

from sqlalchemy import select

from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import submit_sync
from ingestion.sources import Source
from ingestion.sync.failures import FailureNote
from ingestion.sync.lease import register
from ingestion.sync.run import COUNTS, Change, LeftOut, ProgressCallback, Report
from ingestion.sync.status import SyncStatus, sync_status
from twofold import server_file
from twofold.errors import Conflict, UpstreamError
from twofold.ledger import Ledger
from twofold.ledger.models import Failure
from twofold.settings import Settings

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 5.0
"""Between two looks whether the server is still there."""


def serving(settings: Settings) -> bool:
    """Returns whether a server holds the index: with one of Qdrant's, anybody may write."""
    return not settings.qdrant_url and server_file.find(settings.home) is not None


def sync_there(
    settings: Settings,
    workspace: str,
    source: Source,
    progress: ProgressCallback | None = None,
    *,
    allow_removal: bool = False,
) -> Report:
    """Returns `pipeline.sync`, done by the server while this process waits and shows how far it
    is."""
    ledger = Ledger(settings.ledger)
    register(ledger, workspace, source.name, source.kind, source.config)
    id = submit_sync(
        Queue(ledger), workspace, source.name, source.kind, allow_removal=allow_removal
    )
    ended = follow(settings, ledger, workspace, id, progress)
    counts = {name: ended.counts.get(name, 0) for name in (*COUNTS, "failed")}
    seconds = round((ended.finished_at or time.time()) - ended.started_at, 3)
    return Report(
        **counts,
        held=ended.counts.get("held", 0),
        seconds=seconds,
        failures=_failures(ledger, workspace, source.name),
        left_out=tuple(LeftOut(*each) for each in ended.counts.get("left_out", ())),
        changes=tuple(Change(*each) for each in ended.counts.get("changes", ())),
        remark=ended.error,
    )


def follow(
    settings: Settings,
    ledger: Ledger,
    workspace: str,
    id: str,
    progress: ProgressCallback | None = None,
) -> SyncStatus:
    """Waits for a job to end well. Raises UpstreamError saying why it did not, and Conflict
    where the server stopped: then it goes on with it the next time."""
    look = time.monotonic() + _LOOK_SECONDS
    while (status := sync_status(ledger, workspace, id)).state not in ("done", "failed"):
        if progress is not None and status.total:
            progress(status.done, status.total)
        if time.monotonic() > look:
            if server_file.find(settings.home) is None:
                raise Conflict("The server stopped. What is not done is done once it runs again.")
            look = time.monotonic() + _LOOK_SECONDS
        time.sleep(_POLL_SECONDS)
    if status.state == "failed":
        raise UpstreamError(status.error or "The server could not do it. Its log says why.")
    return status


def _failures(ledger: Ledger, workspace: str, source: str) -> tuple[FailureNote, ...]:
    with ledger.session() as session:
        rows = session.scalars(
            select(Failure)
            .where(Failure.workspace == workspace, Failure.source == source)
            .order_by(Failure.external_id)
        )
        return tuple(FailureNote(row.external_id, row.step, row.reason) for row in rows)
