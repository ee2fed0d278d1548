"""One sync under way: its lease, its row in the ledger, its counts and its failures."""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ingestion.sources import NotRead, Source
from ingestion.sync import lease as leases
from ingestion.sync.errors import StepFailed, reason
from ingestion.sync.failures import FailureNote, record_failure
from ingestion.sync.lease import Lease
from ingestion.sync.retry import passing, patiently
from twofold import metrics
from twofold.counted import counted
from twofold.errors import Conflict
from twofold.ledger import Ledger
from twofold.ledger.models import Failure, Sync

COUNTS = ("added", "changed", "unchanged", "removed", "skipped", "chunks")
NAMED = 10
"""Of so many changes each document is named; more are counted."""
CHECKPOINT_SECONDS = 1.0
"""Between two writes of progress to the ledger."""

ProgressCallback = Callable[[int, int], None]
"""(documents done, documents in all)."""


class LeftOut(NamedTuple):
    """A document that was skipped, and why."""

    document: str
    reason: str


class Change(NamedTuple):
    """A document that was written or removed: `how` is "added", "changed" or "removed"."""

    how: str
    document: str


class Report(NamedTuple):
    """What a sync did. `chunks` counts those embedded and written; `seconds` is wall time.

    `held` counts documents that are gone at the source and stay all the same, because they are an
    unusual share of it; `remark` says so, or that the source could not be listed whole.
    `changes` names the first NAMED documents that were added, changed or removed.
    """

    added: int
    changed: int
    unchanged: int
    removed: int
    skipped: int
    failed: int
    chunks: int
    held: int
    seconds: float
    failures: tuple[FailureNote, ...]
    left_out: tuple[LeftOut, ...]
    changes: tuple[Change, ...]
    remark: str

    def record(self) -> dict[str, Any]:
        """Returns the values for JSON, under the field names."""
        values = self._asdict()
        values["failures"] = [note._asdict() for note in self.failures]
        values["left_out"] = [note._asdict() for note in self.left_out]
        values["changes"] = [change._asdict() for change in self.changes]
        return values


class EarlierSlices(NamedTuple):
    """What earlier slices of the same sync did, and whether they may have left drafts."""

    counts: dict[str, int]
    done: int
    failed: frozenset[str]
    left_out: tuple[LeftOut, ...]
    changes: tuple[Change, ...]
    after_crash: bool


NOTHING_YET = EarlierSlices({}, 0, frozenset(), (), (), after_crash=False)


class Run:
    """A sync that holds its source's lease. As a context manager it records how it ended."""

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        id: str,
        progress: ProgressCallback | None,
        *,
        kind: str = metrics.OTHER,
        before: EarlierSlices = NOTHING_YET,
        resumable: bool = False,
    ) -> None:
        """`resumable`: somebody will go on with the run where it pauses or meets a passing
        error."""
        self.ledger = ledger
        self.lease = lease
        self.id = id
        self.after_crash = before.after_crash
        self.paused = False
        self.stop = threading.Event()
        self.counts = {**dict.fromkeys(COUNTS, 0), **before.counts}
        self.failures: list[FailureNote] = []
        self.left_out = list(before.left_out)
        self.changes = list(before.changes)
        self.hidden: list[str] = []
        """Documents of this turn that shut readers out."""
        self.incomplete = ""
        """Why the source could not be listed whole."""
        self.held = 0
        self.total = 0
        self.done = before.done
        self._kind = kind
        self._before = before
        self._resumable = resumable
        self._progress = progress
        self._clock = time.monotonic()
        self._next = self._clock + CHECKPOINT_SECONDS
        self._recorded = 0

    @property
    def all_failed(self) -> set[str]:
        return {note.document for note in self.failures} | self._before.failed

    @property
    def workspace(self) -> str:
        return self.lease.workspace

    @property
    def source(self) -> str:
        return self.lease.source

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish(error)

    def expect(self, total: int) -> None:
        self.total = total
        self._advance(0)

    def unchanged(self, documents: int = 1) -> None:
        self.counts["unchanged"] += documents
        self._advance(documents)

    def wrote(self, external_id: str, *, added: bool, chunks: int) -> None:
        self._did("added" if added else "changed", [external_id])
        self.counts["chunks"] += chunks
        self._advance(1)

    def removed(self, external_ids: Sequence[str]) -> None:
        self._did("removed", external_ids)

    def _did(self, how: str, external_ids: Sequence[str]) -> None:
        self.counts[how] += len(external_ids)
        free = NAMED - len(self.changes)
        self.changes += (Change(how, each) for each in external_ids[:free])

    def failed(self, external_id: str, failure: StepFailed) -> None:
        self.failures.append(FailureNote(external_id, failure.step, reason(failure.cause)))
        self._advance(1)

    def leave_out(self, external_id: str, why: NotRead) -> None:
        self.left_out.append(LeftOut(external_id, why.reason))
        if why.hidden:
            self.hidden.append(external_id)
        self.counts["skipped"] += 1
        self._advance(1)

    @property
    def remark(self) -> str:
        if self.incomplete:
            return (
                f"The source could not be listed whole, so nothing was removed: {self.incomplete}"
            )
        if self.held:
            return (
                f"{counted(self.held, 'document is', 'documents are')} gone at the source, an"
                " unusual share of it. Nothing is removed until you sync again with"
                " --allow-removal."
            )
        return ""

    def _advance(self, documents: int) -> None:
        self.done += documents
        if self.done == self.total or not documents or time.monotonic() >= self._next:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Renews the lease and reports how far the run is. Raises Conflict when told to stop."""
        if self.stop.is_set():
            raise Conflict("The sync was told to stop. Run it again to go on where it stopped.")
        if self._progress is not None:
            self._progress(self.done, self.total)
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + CHECKPOINT_SECONDS
        with self.ledger.session() as session:
            self.lease.renew(session)
            self._record(session, "running", None)

    def report(self) -> Report:
        seconds = time.monotonic() - self._clock
        failures = tuple(self.failures)
        return Report(
            **self.counts,
            failed=len(self.all_failed),
            held=self.held,
            seconds=round(seconds, 3),
            failures=failures,
            left_out=tuple(self.left_out),
            changes=tuple(self.changes),
            remark=self.remark,
        )

    def _finish(self, error: BaseException | None) -> None:
        cause = error.cause if isinstance(error, StepFailed) else error
        text = self.remark if cause is None else "It was interrupted."
        if isinstance(cause, Exception):
            text = reason(cause)
        new = {name: self.counts[name] - self._before.counts.get(name, 0) for name in COUNTS}
        new["failed"] = len(self.failures)
        kind = metrics.closed(self._kind, metrics.SOURCE_KINDS)
        for outcome in metrics.OUTCOMES:
            metrics.INGESTION_DOCUMENTS.labels(kind, outcome).inc(new[outcome])
        for note in self.failures:
            metrics.INGESTION_FAILURES.labels(metrics.closed(note.step, metrics.STEPS)).inc()
        metrics.INGESTION_CHUNKS.inc(new["chunks"])
        metrics.INGESTION_INCOMPLETE.labels(kind).inc(bool(self.incomplete))
        state = self._state(cause)
        ended = None if state in ("running", "queued") else time.time()
        # The next slice goes on, and would wait long for a lease that is not given back.
        for attempt in patiently(self._resumable):
            with attempt, self.ledger.session() as session:
                # Whoever took the lease records the sync and its documents from now on.
                if self.lease.release(session):
                    self._record(session, state, ended, "" if state == "running" else text)

    def _state(self, cause: BaseException | None) -> str:
        if self.paused or (self._resumable and self.stop.is_set() and cause is not None):
            return "running"
        if cause is None:
            return "done"
        return "queued" if self._resumable and passing(cause) else "failed"

    def _record(
        self, session: Session, state: str, finished_at: float | None, error: str = ""
    ) -> None:
        session.execute(
            update(Sync)
            .where(Sync.id == self.id)
            .values(
                state=state,
                finished_at=finished_at,
                total=self.total,
                done=self.done,
                counts={
                    **self.counts,
                    "failed": len(self.all_failed),
                    "held": self.held,
                    "left_out": self.left_out,
                    "changes": self.changes,
                },
                error=error,
            )
        )
        for note in self.failures[self._recorded :]:
            record_failure(session, self.lease, note)
        self._recorded = len(self.failures)


def open_run(
    ledger: Ledger,
    workspace: str,
    source: Source,
    progress: ProgressCallback | None = None,
    *,
    id: str = "",
    resumable: bool = False,
) -> Run:
    """Takes the source's lease and begin a sync, or go on with the one that `id` names.

    Raises Conflict naming who holds the lease, Superseded where `id` has ended.
    """
    leases.register(ledger, workspace, source.name, source.kind, source.config)
    id = id or str(uuid4())
    last = _last_state(ledger, workspace, source.name)
    before = [NOTHING_YET._replace(after_crash=last not in (None, "done"))]

    def begin(session: Session) -> None:
        before[0] = _begin(session, workspace, source.name, id) or before[0]

    lease = leases.acquire(ledger, workspace, source.name, then=begin)
    kind = source.kind
    return Run(ledger, lease, id, progress, kind=kind, before=before[0], resumable=resumable)


class Superseded(Conflict):
    """Raised where another process ended this sync and has done its work."""


def _last_state(ledger: Ledger, workspace: str, source: str) -> str | None:
    with ledger.session() as session:
        return session.scalar(
            select(Sync.state)
            .where(Sync.workspace == workspace, Sync.source == source, Sync.state != "queued")
            .order_by(Sync.started_at.desc())
            .limit(1)
        )


def _begin(session: Session, workspace: str, source: str, id: str) -> EarlierSlices | None:
    now = time.time()
    # Whoever ran before and did not say how it ended is dead: the lease is ours.
    session.execute(
        update(Sync)
        .where(
            Sync.workspace == workspace,
            Sync.source == source,
            Sync.state == "running",
            Sync.id != id,
        )
        .values(state="failed", error="It was interrupted.", finished_at=now)
    )
    row = session.get(Sync, id)
    if row is None:
        row = Sync(id=id, workspace=workspace, source=source, state="running", started_at=now)
        row.finished_at, row.counts = None, {}
        session.add(row)
        return None
    if row.state not in ("queued", "running"):
        raise Superseded(f"Sync {id} has ended: {row.error or row.state}")
    if not row.counts:
        row.state, row.started_at = "running", now
        return None
    row.state, row.error = "running", ""
    failed = session.scalars(
        select(Failure.external_id).where(
            Failure.workspace == workspace,
            Failure.source == source,
            Failure.last_at >= row.started_at,
        )
    )
    counts = {name: row.counts.get(name, 0) for name in COUNTS}
    left_out = tuple(LeftOut(*each) for each in row.counts.get("left_out", ()))
    changes = tuple(Change(*each) for each in row.counts.get("changes", ()))
    done = row.done
    return EarlierSlices(counts, done, frozenset(failed), left_out, changes, after_crash=True)
