"""Stopped anywhere, a sync loses nothing: readers keep the last live version, a rerun heals."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import event, select, update

from tests.fakes import DictIndex, HashingEmbedder, make_stack
from tests.ingestion.helpers import article, readable, run_sync, state_of, write_tree
from twofold.errors import UpstreamError
from twofold.index.contract import Chunk, Embedded
from twofold.ledger.models import Document, Source

POLICY = {"kind": "policy", "effective_from": "2026-01-01", "title": "Refunds"}
BEFORE = {
    "kept.md": article("Stays as it is."),
    "edited.md": article("First.", "Second.", "Third."),
    "narrowed.md": article("Was for all.", "Gone for all.", audience="[public]"),
    "refunds.md": article("Within 14 days.", "Write to us.", **POLICY),
    "removed.md": article("Will go."),
}
AFTER = {
    "kept.md": BEFORE["kept.md"],
    "edited.md": article("First.", "Second, edited.", "Third.", "Fourth."),
    "narrowed.md": article("Was for all.", audience="[internal]"),
    "refunds.md": article(
        "Within 30 days.", "Write to us.", **{**POLICY, "effective_from": "2026-03-01"}
    ),
    "new.md": article("Just came."),
}


class Killed(BaseException):
    """The process is gone: nothing of ours may catch this."""


class Fuse:
    """Burns through at one call, before that call takes effect or after it."""

    def __init__(self, at: int, error: Callable[[], BaseException], *, late: bool) -> None:
        self.left, self.error, self.late = at, error, late
        self.calls = 0

    def around(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        self.left -= 1
        if self.left == 0 and not self.late:
            raise self.error()
        result = call()
        if self.left == 0:
            raise self.error()
        return result


class FusedIndex(DictIndex):
    fuse: Fuse | None = None

    def upsert(self, points: Sequence[Embedded]) -> None:
        self._guarded(lambda: super(FusedIndex, self).upsert(points))

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        self._guarded(lambda: super(FusedIndex, self).update_payload(chunks))

    def delete(self, ids: Sequence[str]) -> None:
        self._guarded(lambda: super(FusedIndex, self).delete(ids))

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        return self._guarded(lambda: super(FusedIndex, self).retrieve(ids))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        return self.fuse.around(call) if self.fuse else call()


class FusedEmbedder(HashingEmbedder):
    fuse: Fuse | None = None

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        call = lambda: super(FusedEmbedder, self).embed(texts)  # noqa: E731
        return self.fuse.around(call) if self.fuse else call()


class World:
    """A tree, a ledger and an index, brought to BEFORE."""

    def __init__(self, root: Path) -> None:
        self.tree, self.root = root / "tree", root
        self.index, self.embedder = FusedIndex(), FusedEmbedder()
        self.stack = make_stack(root / "home", index=self.index, embedder=self.embedder)
        self.set_files(BEFORE)
        run_sync(self.stack, self.tree)

    def set_files(self, files: dict[str, str]) -> None:
        for path in self.tree.glob("*.md"):
            if path.name not in files:
                path.unlink()
        write_tree(self.tree, files)

    def lose_lease(self) -> None:
        """What the next process finds of a killed one: its lease, but not itself."""
        with self.stack.ledger.session() as session:
            session.execute(update(Source).values(lease_until=0.0))

    def light(self, fuse: Fuse | None) -> None:
        self.index.fuse = self.embedder.fuse = fuse

    def on_ledger_commit(self, fuse: Fuse) -> Any:
        def burn(_connection: Any) -> None:
            fuse.around(lambda: None)

        event.listen(self.stack.ledger.engine, "commit", burn)
        return lambda: event.remove(self.stack.ledger.engine, "commit", burn)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    world = World(tmp_path_factory.mktemp("undisturbed"))
    world.set_files(AFTER)
    run_sync(world.stack, world.tree)
    return {"state": state_of(world.stack), "read": readable(world.stack, "internal")}


def _reads_old_or_new(world: World, before: dict[str, list[str]]) -> None:
    """Every document answers with its last version whole, or with its new one whole."""
    after = {
        "help/edited.md": ["First.", "Second, edited.", "Third.", "Fourth."],
        "help/narrowed.md": ["Was for all."],
        "help/refunds.md": ["Within 30 days.", "Write to us."],
    }
    now = readable(world.stack, "internal")
    for name, old in before.items():
        if name == "help/removed.md":
            assert now.get(name) in (old, None)
        else:
            assert sorted(now[name]) in (sorted(old), sorted(after.get(name, old))), name


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Killed, lambda: UpstreamError("gone.")], ids=["killed", "error"])
def test_index_or_embedder_stops_at_any_call(
    tmp_path: Path, undisturbed: dict[str, Any], error: Callable[[], BaseException], late: bool
) -> None:
    for at in range(1, 100):
        world = World(tmp_path / str(at))
        before = readable(world.stack, "internal")
        world.set_files(AFTER)
        fuse = Fuse(at, error, late=late)
        world.light(fuse)
        with suppress(Killed, UpstreamError):
            run_sync(world.stack, world.tree)
        world.light(None)
        _reads_old_or_new(world, before)
        run_sync(world.stack, world.tree)
        assert state_of(world.stack) == undisturbed["state"], f"call {at}"
        assert readable(world.stack, "internal") == undisturbed["read"]
        world.stack.ledger.close()
        if fuse.left > 0:
            break
    assert at > 8, "the fuse was never reached"
    assert at < 99


def test_the_ledger_stops_at_any_commit(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    for at in range(1, 100):
        world = World(tmp_path / str(at))
        before = readable(world.stack, "internal")
        world.set_files(AFTER)
        fuse = Fuse(at, Killed, late=False)
        unlisten = world.on_ledger_commit(fuse)
        with suppress(Killed):
            run_sync(world.stack, world.tree)
        unlisten()
        world.lose_lease()
        _reads_old_or_new(world, before)
        run_sync(world.stack, world.tree)
        assert state_of(world.stack) == undisturbed["state"], f"commit {at}"
        world.stack.ledger.close()
        if fuse.left > 0:
            break
    assert 8 < at < 99


@pytest.mark.parametrize("third", [BEFORE, {**AFTER, "edited.md": article("Third way.")}])
def test_an_edit_after_the_crash_revives_nothing(tmp_path: Path, third: dict[str, str]) -> None:
    """Points that a crash left for version 2 must not answer for another version 2."""
    reference = World(tmp_path / "reference")
    reference.set_files(third)
    run_sync(reference.stack, reference.tree)
    for at in range(1, 30):
        world = World(tmp_path / str(at))
        world.set_files(AFTER)
        world.light(fuse := Fuse(at, Killed, late=True))
        with suppress(Killed):
            run_sync(world.stack, world.tree)
        world.light(None)
        world.set_files(third)
        run_sync(world.stack, world.tree)
        assert readable(world.stack, "internal") == readable(reference.stack, "internal"), at
        texts = sorted(
            p.chunk.text for p in world.index.points.values() if p.chunk.key[-9:-3] != "efunds"
        )
        wanted = sorted(
            p.chunk.text for p in reference.index.points.values() if p.chunk.key[-9:-3] != "efunds"
        )
        assert texts == wanted
        world.stack.ledger.close()
        if fuse.left > 0:
            break


def test_nobody_reads_what_was_narrowed_even_when_it_stops_there(tmp_path: Path) -> None:
    """The narrowing stands before the flip; so the flip never publishes to those shut out."""
    for at in range(1, 30):
        world = World(tmp_path / str(at))
        world.set_files(AFTER)
        world.light(fuse := Fuse(at, Killed, late=True))
        with suppress(Killed):
            run_sync(world.stack, world.tree)
        with world.stack.ledger.session() as session:
            live = session.scalar(
                select(Document.live).where(Document.external_id == "narrowed.md")
            )
        if live == 2:
            assert "help/narrowed.md" not in readable(world.stack)
        world.stack.ledger.close()
        if fuse.left > 0:
            break


def test_one_document_that_cannot_be_embedded_does_not_fail_the_others(tmp_path: Path) -> None:
    class Picky(HashingEmbedder):
        broken = True

        def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
            if self.broken and any("poison" in text for text in texts):
                raise RuntimeError("bad luck")
            return super().embed(texts)

    embedder = Picky()
    tree = tmp_path / "tree"
    write_tree(tree, {f"{n}.md": f"Text {n}." for n in range(5)} | {"p.md": "poison"})
    with make_stack(tmp_path / "home", embedder=embedder) as stack:
        report = run_sync(stack, tree)
        assert (report.added, report.failed) == (5, 1)
        assert report.failures == (("p.md", "embed", "RuntimeError: bad luck."),)
        embedder.broken = False
        again = run_sync(stack, tree)
        assert (again.added, again.unchanged, again.failed) == (1, 5, 0)


def test_a_broken_embedder_stops_the_sync_instead_of_failing_every_document(tmp_path: Path) -> None:
    class Broken(HashingEmbedder):
        tries = 0

        def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
            self.tries += 1
            raise UpstreamError("The embedding server cannot be reached.")

    embedder = Broken()
    tree = tmp_path / "tree"
    write_tree(tree, {f"{n}.md": f"Text {n}." for n in range(50)})
    stopped = pytest.raises(UpstreamError, match="3 documents in a row failed at the step 'embed'")
    with make_stack(tmp_path / "home", embedder=embedder) as stack, stopped:
        run_sync(stack, tree)
    assert embedder.tries == 4
