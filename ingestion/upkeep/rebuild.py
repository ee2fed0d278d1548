"""An index built anew from the ledger, beside the live one; then checked, then made live.

No source is asked: `Version.sections` holds every text. A rebuild that is interrupted goes on where
it stopped, because points keep their ids; until the flip nothing that answers has changed.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

from sqlalchemy import exists, select, update

import twofold.stack
from ingestion.upkeep.expected import standings
from ingestion.upkeep.reconcile import Drift, LeaseKeeper, Reconciler, adopt, held, sources_of
from ingestion.upkeep.smoke import check_titles, failed
from twofold.counted import counted
from twofold.errors import NotFound, Outdated, SetupError
from twofold.index.sparse import Bm25Encoder
from twofold.index.stores import Stores, find, open_stores
from twofold.ledger.models import Document, Version
from twofold.settings import Settings
from twofold.stack import Stack
from twofold.terminal import ProgressCallback

LEASE_WAIT_SECONDS = 60.0
"""How long the flip waits for a sync under way."""

Say = Callable[[str], None]


class Rebuilt(NamedTuple):
    """`embedded` counts chunks; `found` of `asked` smoke queries found their document."""

    store: str
    documents: int
    points: int
    embedded: int
    asked: int
    found: int
    seconds: float
    flipped: bool


class _State(NamedTuple):
    """The state of a document that a rebuild has to follow while syncs go on."""

    source: str
    live: int | None
    raw_hash: str
    quarantined: bool | None


def open_current(settings: Settings, say: Say, progress: ProgressCallback | None) -> Stack:
    """Opens the stack as `open_stack` does, but rebuilds an index that another fingerprint made,
    and fills one that is empty or half-filled while the ledger holds documents."""
    try:
        stack = twofold.stack.open_stack(settings)
    except Outdated:
        say("The index was made with other settings or another model: building a new one beside it")
        say(told(rebuild(settings, progress)))
        stack = twofold.stack.open_stack(settings)
    if (why := _unfilled(stack)) is not None:
        say(f"{why}: filling it from the ledger")
        try:
            say(told(fill(stack, progress)))
        except BaseException:
            stack.__exit__(None, None, None)
            raise
    return stack


def rebuild(
    settings: Settings, progress: ProgressCallback | None = None, *, rejecting: bool = False
) -> Rebuilt:
    """Builds the store of these settings and make it live. `rejecting`: away from a bad one.

    Raises SetupError where a check fails: then the live store stays, and the new one beside it.
    """
    with twofold.stack.open_stack(settings, beside=True) as stack:
        stores = open_stores(settings)
        digest = stack.fingerprint.digest
        report = _Build(stack, progress).run(lambda: stores.flip(digest, rejecting=rejecting))
    prune_stores(stores, settings.keep_stores_days)
    return report


def fill(stack: Stack, progress: ProgressCallback | None = None) -> Rebuilt:
    """Brings the open, live store to what the ledger says."""
    # Until a version is adopted it names no fingerprint: that is how a filling cut short shows.
    with stack.ledger.session() as session:
        digest = stack.fingerprint.digest
        if not stack.index.count():
            session.execute(
                update(Version).where(Version.fingerprint == digest).values(fingerprint="")
            )
    return _Build(stack, progress).run(None)


def rollback(
    settings: Settings, digest: str = "", progress: ProgressCallback | None = None
) -> Rebuilt:
    """Makes the store before the live one (or the one named) live again, brought up to date first.

    Raises NotFound where none is kept, SetupError where it needs other settings than the size of
    chunks.
    """
    stores = open_stores(settings)
    if digest:
        target = find(stores, digest)
    else:
        kept = [each for each in stores.all() if not each.live and each.retired_at is not None]
        if not kept:
            raise NotFound("No earlier index is kept that one could go back to.")
        target = max(kept, key=lambda store: store.retired_at or 0.0)
    adapted = twofold.stack.with_chunks_of(settings, target.fingerprint)
    embedder = twofold.stack.open_embedder(adapted)
    own = twofold.stack.fingerprint_of(adapted, embedder, Bm25Encoder())
    if own != target.fingerprint:
        names = [n for n in target.fingerprint.__slots__ if getattr(own, n) != target.made_by[n]]
        wanted = ", ".join(f"{name} {target.made_by[name]!r}" for name in names)
        raise SetupError(
            f"The index {target.digest} was made with {wanted}, which this program and its settings"
            " do not give. Set them back (TWOFOLD_EMBEDDER_*), then run this again."
        )
    return rebuild(adapted, progress, rejecting=True)


def prune_stores(stores: Stores, older_than_days: float) -> list[str]:
    """Drops stores that were retired so long ago. Half-made ones stay: a rebuild goes on there."""
    before = time.time() - older_than_days * 86_400
    gone = [s.digest for s in stores.all() if s.retired_at is not None and s.retired_at <= before]
    for digest in gone:
        stores.drop(digest)
    return gone


class _Build:
    def __init__(self, stack: Stack, progress: ProgressCallback | None) -> None:
        self._stack = stack
        self._progress = progress
        self._started = time.monotonic()
        self._drift = Drift()
        self._states: dict[str, _State] = {}
        self._ids: dict[str, list[str]] = {}
        """Document id -> its points in the store."""
        self._points: dict[int, list[str]] = {}
        self._done = 0

    def run(self, flip: Callable[[], None] | None) -> Rebuilt:
        """Builds the store. Without `flip` it is live already, and everything happens under the
        leases."""
        stack = self._stack
        if flip is not None:
            for workspace in self._workspaces():
                self._follow(workspace, None, adopting=False)
        with ExitStack() as locks:
            for workspace in self._workspaces():
                sources = sources_of(stack, workspace)
                beat = locks.enter_context(held(stack, workspace, sources, LEASE_WAIT_SECONDS))
                self._follow(workspace, beat, adopting=flip is None)
                self._sweep(workspace, sources)
            asked, found = check_titles(stack)
            adopt(stack, self._points)
            if flip is not None:
                flip()
        return Rebuilt(
            stack.fingerprint.digest,
            sum(1 for state in self._states.values() if state.live is not None),
            stack.index.count(),
            len(self._drift.missing),
            asked,
            found,
            round(time.monotonic() - self._started, 3),
            flip is not None,
        )

    def _workspaces(self) -> list[str]:
        with self._stack.ledger.session() as session:
            return sorted(session.scalars(select(Document.workspace).distinct()))

    def _follow(self, workspace: str, beat: LeaseKeeper | None, *, adopting: bool) -> None:
        """Brings into the store what changed since the last call."""
        states = _states(self._stack, workspace)
        changed: dict[str, list[str]] = {}
        for id, state in states.items():
            if self._states.get(id) != state:
                changed.setdefault(state.source, []).append(id)
        self._states |= states
        total = self._done + sum(map(len, changed.values()))

        def advance(documents: int) -> None:
            self._done += documents
            if self._progress is not None:
                self._progress(self._done, total)

        for source, ids in sorted(changed.items()):
            matcher = Reconciler(self._stack, self._drift, beat, advance)
            for batch in standings(self._stack.ledger, workspace, source, ids):
                matcher.match(batch, repair=True, adopting=adopting)
            self._ids |= matcher.seen
            self._points |= matcher.points

    def _sweep(self, workspace: str, sources: list[str]) -> None:
        """Deletes what nothing expects (documents may have changed meanwhile); count what is left.

        Raises UpstreamError where a source's count is not what it should be.
        """
        for source in sources:
            known = [id for id, state in self._states.items() if state.source == source]
            wanted = {point for id in known for point in self._ids.get(id, ())}
            there = set(self._stack.index.ids(workspace, source))
            if gone := sorted(there - wanted):
                self._stack.index.delete(gone)
            if lost := wanted - there:
                raise failed(
                    f"{len(lost)} of {counted(len(wanted), 'point')} of {source!r} missing"
                )


def _states(stack: Stack, workspace: str) -> dict[str, _State]:
    live = (Version.document_id == Document.id) & (Version.number == Document.live)
    columns = (Document.id, Document.source, Document.live, Document.raw_hash, Version.quarantined)
    with stack.ledger.session() as session:
        rows = session.execute(
            select(*columns).outerjoin(Version, live).where(Document.workspace == workspace)
        )
        return {row[0]: _State(*row[1:]) for row in rows}


def _unfilled(stack: Stack) -> str | None:
    """Returns why the live store cannot be all that the ledger says; None where it may be."""
    with stack.ledger.session() as session:
        live = exists().where(Version.document_id == Document.id, Version.number == Document.live)
        if not session.scalar(select(select(Document.id).where(live).exists())):
            return None
        if not stack.index.count():
            return "The index is empty while the ledger holds documents"
        other = live.where(Version.fingerprint != stack.fingerprint.digest)
        if session.scalar(select(select(Document.id).where(other).exists())):
            return "The index was left half-filled"
    return None


def told(report: Rebuilt) -> str:
    return (
        f"  {counted(report.documents, 'document')}, {counted(report.points, 'chunk')}"
        f" ({report.embedded} embedded) in {report.seconds:.1f} s;"
        f" {report.found} of {counted(report.asked, 'sampled title')} found"
    )
