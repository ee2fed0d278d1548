"""Ledger against index, both ways, and the way back: the index follows the ledger."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import bindparam, select, update

from ingestion.sync import lease as leases
from ingestion.sync.lease import Lease
from ingestion.sync.remove import discard_drafts
from ingestion.sync.write import embedded
from ingestion.upkeep.expected import ExpectedPoints, Replayer, VersionHistory, standings
from twofold import metrics
from twofold.errors import Conflict
from twofold.index.contract import Chunk
from twofold.ledger.models import Document, Job, Source, Version
from twofold.stack import Stack

RECONCILE: Final = "reconcile"
"""The task of the job by which a comparison is on record."""
LEASE_WAIT_SECONDS = 10.0
RENEW_SECONDS = 10.0
EMBED_TEXTS = 512
SHOWN = 50
"""Points of one kind that a report names."""

Advance = Callable[[int], None]
"""Told how many documents more are done."""


@dataclass
class Drift:
    """How the index differs from what the ledger says, as point ids."""

    documents: int = 0
    points: int = 0
    """Points that should be there."""
    missing: dict[str, str] = field(default_factory=dict)
    """Point id -> `source/external_id`."""
    wrong: dict[str, str] = field(default_factory=dict)
    """Points whose payload, version interval included, is another."""
    orphans: dict[str, str] = field(default_factory=dict)
    """Points of no version that may answer."""
    skipped: list[str] = field(default_factory=list)
    """Sources that somebody else was writing."""
    repaired: bool = False

    @property
    def total(self) -> int:
        return len(self.missing) + len(self.wrong) + len(self.orphans)

    def record(self) -> dict[str, Any]:
        """Returns JSON values: every count, and the first points of each kind."""

        def shown(points: Mapping[str, str]) -> dict[str, Any]:
            some = [{"point": id, "document": points[id]} for id in list(points)[:SHOWN]]
            return {"count": len(points), "points": some}

        return {
            "documents": self.documents,
            "points": self.points,
            "drift": self.total,
            "missing": shown(self.missing),
            "wrong": shown(self.wrong),
            "orphans": shown(self.orphans),
            "skipped": self.skipped,
            "repaired": self.repaired,
        }


def reconcile(
    stack: Stack, workspace: str, *, repair: bool = False, progress: Advance | None = None
) -> Drift:
    """Compares every source of a workspace, each under its lease; `repair` mends what differs.

    A source whose lease is held for over ten seconds is skipped, and named.
    """
    drift = Drift(repaired=repair)
    known = sources_of(stack, workspace)
    for source in known:
        try:
            with held(stack, workspace, [source]) as heartbeat:
                if repair and heartbeat.leases:
                    discard_drafts(stack, heartbeat.leases[0])
                matcher = Reconciler(stack, drift, heartbeat, progress)
                for batch in standings(stack.ledger, workspace, source):
                    matcher.match(batch, repair=repair)
                matcher.orphans(workspace, source, repair=repair)
        except Conflict:
            drift.skipped.append(source)
    _strangers(stack, workspace, set(known), drift, repair=repair)
    left = {kind: 0 if repair else len(getattr(drift, kind)) for kind in metrics.DRIFTS}
    _note(stack, workspace, left)
    return drift


def _note(stack: Stack, workspace: str, left: Mapping[str, int]) -> None:
    """Writes down what is left, as a job that was done: the server tells of it, whoever
    compared."""
    now = time.time()
    with stack.ledger.session() as session:
        session.add(
            Job(
                id=str(uuid4()), workspace=workspace, source="", queue="files", task=RECONCILE,
                subject=RECONCILE, payload={}, state="done", due_at=now, owner=None,
                created_at=now, finished_at=now, result=dict(left),
            )
        )  # fmt: skip


def sources_of(stack: Stack, workspace: str) -> list[str]:
    """Returns sources that a document was ever seen from."""
    with stack.ledger.session() as session:
        rows = session.scalars(
            select(Document.source).where(Document.workspace == workspace).distinct()
        )
        return sorted(rows)


class Reconciler:
    """Compares batches of one source and, where told to, brings the index and the ledger's
    `points` to what is expected."""

    def __init__(
        self,
        stack: Stack,
        drift: Drift,
        heartbeat: "LeaseKeeper | None" = None,
        progress: Advance | None = None,
    ) -> None:
        self._stack = stack
        self._drift = drift
        self._heartbeat = heartbeat
        self._progress = progress
        self._replayer = Replayer(stack)
        self.seen: dict[str, list[str]] = {}
        """Document id -> the points it should have."""
        self.points: dict[int, list[str]] = {}
        """Version row id -> its point ids in this index, for `adopt`."""

    def match(
        self, batch: Sequence[VersionHistory], *, repair: bool, adopting: bool = True
    ) -> None:
        """Compares points with what is expected. `adopting` puts them into the ledger at once;
        else they are kept in `points`."""
        found = [self._replayer.expected(standing) for standing in batch]
        self._note(found)
        wanted = {id: chunk for each in found for id, chunk in each.chunks.items()}
        there = {chunk.id: chunk for chunk in self._stack.index.retrieve(list(wanted))}
        missing = [chunk for id, chunk in wanted.items() if id not in there]
        wrong = [chunk for id, chunk in wanted.items() if id in there and there[id] != chunk]
        self._drift.missing.update((chunk.id, chunk.key) for chunk in missing)
        self._drift.wrong.update((chunk.id, chunk.key) for chunk in wrong)
        if repair:
            self._mend(missing, wrong)
            points = {id: ids for each in found for id, ids in each.points.items()}
            if adopting:
                adopt(self._stack, points)
            else:
                self.points.update(points)
        if self._progress is not None:
            self._progress(len(batch))

    def orphans(self, workspace: str, source: str, *, repair: bool) -> None:
        """Finds points of the source that no batch expected; call it after the last one."""
        wanted = {id for ids in self.seen.values() for id in ids}
        gone = [id for id in self._stack.index.ids(workspace, source) if id not in wanted]
        _note_orphans(self._stack, gone, self._drift)
        if repair and gone:
            self._stack.index.delete(gone)

    def _note(self, found: Sequence[ExpectedPoints]) -> None:
        self._drift.documents += sum(1 for each in found if each.document.live is not None)
        for each in found:
            self._drift.points += len(each.chunks)
            self.seen[each.document.id] = list(each.chunks)

    def _mend(self, missing: Sequence[Chunk], wrong: Sequence[Chunk]) -> None:
        for start in range(0, len(missing), EMBED_TEXTS):
            some = missing[start : start + EMBED_TEXTS]
            self._stack.index.upsert(embedded(self._stack, some))
            self._beat()
        if wrong:
            self._stack.index.update_payload(wrong)
        self._beat()

    def _beat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat()


def adopt(stack: Stack, points: Mapping[int, list[str]]) -> None:
    """Says in the ledger, in one transaction, that this stack's index holds these."""
    if not points:
        return
    rows = Version.__table__
    statement = (
        update(rows)  # type: ignore[arg-type]
        .where(rows.c.id == bindparam("row"))
        .values(points=bindparam("points"), fingerprint=stack.fingerprint.digest)
    )
    with stack.ledger.session() as session:
        changed = _changed(session.execute, points, stack.fingerprint.digest)
        if changed:
            session.connection().execute(
                statement, [{"row": id, "points": ids} for id, ids in changed.items()]
            )


def _changed(
    execute: Callable[..., Any], points: Mapping[int, list[str]], digest: str
) -> dict[int, list[str]]:
    ids = list(points)
    same: set[int] = set()
    for start in range(0, len(ids), 500):
        rows = execute(
            select(Version.id, Version.points).where(
                Version.id.in_(ids[start : start + 500]), Version.fingerprint == digest
            )
        )
        same |= {row.id for row in rows if row.points == points[row.id]}
    return {id: found for id, found in points.items() if id not in same}


class LeaseKeeper:
    """Renews leases; called often, it writes seldom. Raises Conflict where one was lost."""

    def __init__(self, stack: Stack, held: Sequence[Lease]) -> None:
        self._stack = stack
        self.leases = held
        self._next = time.monotonic() + RENEW_SECONDS

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + RENEW_SECONDS
        with self._stack.ledger.session() as session:
            for lease in self.leases:
                lease.renew(session)


@contextmanager
def held(
    stack: Stack, workspace: str, sources: Iterable[str], wait: float = LEASE_WAIT_SECONDS
) -> Iterator[LeaseKeeper]:
    """Holds the leases of these sources, as far as they have one. Raises Conflict where one is
    held."""
    with stack.ledger.session() as session:
        named = set(session.scalars(select(Source.name).where(Source.workspace == workspace)))
    taken: list[Lease] = []
    try:
        for source in named & set(sources):
            taken.append(leases.acquire(stack.ledger, workspace, source, wait=wait))  # noqa: PERF401  released one by one
        yield LeaseKeeper(stack, taken)
    finally:
        with stack.ledger.session() as session:
            for lease in taken:
                lease.release(session)


def _strangers(
    stack: Stack, workspace: str, known: set[str], drift: Drift, *, repair: bool
) -> None:
    """Finds points of sources that the ledger does not know."""
    ours = {id for source in known for id in stack.index.ids(workspace, source)}
    gone = [id for id in stack.index.ids(workspace) if id not in ours]
    _note_orphans(stack, gone, drift)
    if repair and gone:
        stack.index.delete(gone)


def _note_orphans(stack: Stack, ids: Sequence[str], drift: Drift) -> None:
    if ids:
        drift.orphans.update((chunk.id, chunk.key) for chunk in stack.index.retrieve(ids))
