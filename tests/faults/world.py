"""One run: a tree, a ledger and an index brought to BEFORE, on the way to AFTER."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from ingestion.jobs.celery import hint, make_app
from ingestion.jobs.job import FINISHED, QUEUES, NewJob
from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import delete_job, push_job, refresh_job, submit_sync, tick
from ingestion.jobs.tasks import work
from ingestion.sources import Fetched
from ingestion.sync.lease import register
from tests.faults.store import FileIndex
from tests.faults.worker import Fault, celery_worker, impatient, local_worker, open_fake
from tests.ingestion.helpers import SOURCE, WORKSPACE, WRITTEN, article, run_sync, write_tree
from tests.servers import wait_until
from twofold.index.contract import Scope
from twofold.ledger import versions_at
from twofold.ledger.models import Document, Failure, Job, Sync, Version
from twofold.settings import Settings
from twofold.stack import Stack

PUSHED = "crm"
POLICY = {"kind": "policy", "effective_from": "2026-01-01", "title": "Refunds"}
BEFORE = {
    "kept.md": article("Stays as it is."),
    "edited.md": article("First.", "Second.", "Third."),
    "narrowed.md": article("Was for all.", "Gone for all.", audience="[public]"),
    "refunds.md": article("Within 14 days.", "Write to us.", **POLICY),
    "removed.md": article("Will go.", "All of it."),
}
AFTER = {
    "kept.md": BEFORE["kept.md"],
    "edited.md": article("First.", "Second, edited.", "Third.", "Fourth."),
    "narrowed.md": article("Was for all.", audience="[internal]"),
    "refunds.md": article(
        "Within 30 days.", "Write to us.", **{**POLICY, "effective_from": "2026-03-01"}
    ),
    "new.md": article("Just came.", "In two parts."),
}
PUSH_BEFORE = {"a.md": article("Plan A.", "Common."), "gone.md": article("Old offer.")}
PUSH_AFTER = {"a.md": article("Plan B.", "Common."), "b.md": article("New offer.")}

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.faults.worker"])

Answers = dict[str, tuple[str, ...]]


def fetched(text: str) -> Fetched:
    return Fetched(text.encode(), "text/markdown", float(WRITTEN))


class World:
    """`broker` is empty for the embedded size."""

    def __init__(self, home: Path, ledger_url: str = "", broker: str = "") -> None:
        self.home, self.tree = home, home / "tree"
        home.mkdir(parents=True, exist_ok=True)
        self.settings = Settings(home=home, ledger_url=ledger_url, redis_url=broker)
        self.stack: Stack = open_fake(self.settings)
        self._app = make_app(self.settings) if broker else None
        self.queue = Queue(self.stack.ledger, self._notify)
        self._processes: list[BaseProcess] = []
        impatient()

    def _notify(self, queue: str) -> None:
        if self._app is not None:
            hint(self._app, queue)

    def bring_to(self, tree: dict[str, str], pushed: dict[str, str]) -> None:
        """Without workers and without faults."""
        self.set_files(tree)
        run_sync(self.stack, self.tree)
        self.push(pushed)
        while work(self.stack, self.queue, QUEUES, threading.Event()):
            pass

    def set_files(self, files: dict[str, str]) -> None:
        self.tree.mkdir(exist_ok=True)
        for path in self.tree.glob("*.md"):
            if path.name not in files:
                path.unlink()
        write_tree(self.tree, files)

    def adopt(self) -> None:
        """After a copy: the source lies in this world's own tree."""
        register(self.stack.ledger, WORKSPACE, SOURCE, "folder", {"path": str(self.tree)})

    def start(self, fault: Fault | None = None, children: int = 1) -> BaseProcess:
        """Start a worker, of the kind that this world has."""
        target: Callable[..., None] = local_worker
        arguments: tuple[Any, ...] = (self.settings, fault)
        if self._app is not None:
            target, arguments = celery_worker, (*arguments, children)
        process = FORKS.Process(target=target, args=arguments)
        process.start()
        self._processes.append(process)
        return process

    def stop(self, process: BaseProcess) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        if process.is_alive():
            process.kill()
        process.join()

    def close(self) -> None:
        for process in self._processes:
            self.stop(process)
        if self._app is not None:
            self._app.close()
        self.stack.ledger.engine.dispose()

    def sync(self) -> str:
        return submit_sync(self.queue, WORKSPACE, SOURCE, "folder")

    def refresh(self, *documents: str) -> str:
        return self.queue.put([refresh_job(WORKSPACE, SOURCE, "folder", documents)])[0]

    def push(self, files: dict[str, str]) -> list[str]:
        return self.queue.put(self.push_jobs(files))

    def push_jobs(self, files: dict[str, str]) -> list[NewJob]:
        """What it takes from PUSH_BEFORE to `files`."""
        known = PUSH_BEFORE.keys() - files.keys() if files is PUSH_AFTER else set()
        return [
            *(push_job(self.stack, WORKSPACE, PUSHED, id, fetched(t)) for id, t in files.items()),
            *(delete_job(WORKSPACE, PUSHED, id) for id in sorted(known)),
        ]

    def reached(self) -> None:
        """Wait until the fault has struck: a worker is dead, or stands at the gate."""
        self.wait(lambda: (self.home / "struck").exists(), "the fault")

    def let_on(self) -> None:
        (self.home / "go").touch()

    def finish(self, what: str = "all jobs are finished") -> None:
        """Wait for the workers to come to an end of their work, with the clock ticking."""
        self.wait(self._idle, what)

    def wait(self, true: Callable[[], object], what: str) -> None:
        ticked = 0.0

        def checked() -> object:
            nonlocal ticked
            try:
                if time.monotonic() - ticked > 0.3:
                    ticked = time.monotonic()
                    tick(self.queue)
                return true()
            except SQLAlchemyError:
                # The database is being restarted.
                return False

        wait_until(checked, what, 45)

    def _idle(self) -> bool:
        with self.stack.ledger.session() as session:
            open_jobs = session.scalars(select(Job.id).where(Job.state.not_in(FINISHED)).limit(1))
            failures = session.scalars(select(Failure).where(Failure.next_at.is_not(None)).limit(1))
            return open_jobs.first() is None and failures.first() is None

    def jobs(self) -> Counter[str]:
        with self.stack.ledger.session() as session:
            return Counter(session.scalars(select(Job.state)))

    def syncs(self) -> Counter[str]:
        with self.stack.ledger.session() as session:
            return Counter(session.scalars(select(Sync.state)))

    def state(self) -> dict[str, Any]:
        """Ledger and index, without what may differ between two runs: clocks and row numbers."""
        with self.stack.ledger.session() as session:
            documents = session.scalars(select(Document)).all()
            versions = session.scalars(select(Version)).all()
        index: Any = self.stack.index
        fields = [c.name for c in Version.__table__.columns if c.name not in ("id", "fetched_at")]
        return {
            "documents": {
                f"{d.source}/{d.external_id}": (d.live, d.raw_hash, d.removed_at is None)
                for d in documents
            },
            "versions": {
                (v.document_id, v.number): {name: getattr(v, name) for name in fields}
                for v in versions
            },
            "points": {
                id: (p.chunk, p.dense.tolist(), p.sparse) for id, p in index.points().items()
            },
        }

    def answers(self) -> Answers:
        return read(self.stack)


def read(stack: Stack) -> Answers:
    """Texts that a reader gets by document, in reading order. As a reader does: by the index
    first, then by what the ledger says applies; again, where that changed in between."""
    index: Any = stack.index
    scope = Scope(WORKSPACE, int(time.time()), frozenset({"internal"}))
    while True:
        before = _applying(stack)
        chunks = [p.chunk for p in index.points().values() if scope.admits(p.chunk)]
        applying = _applying(stack)
        if before == applying:
            break
    texts: dict[str, list[tuple[int, str]]] = {}
    for chunk in chunks:
        version = applying.get(chunk.document)
        if version is not None and chunk.since <= version < chunk.until:
            texts.setdefault(chunk.key, []).append((chunk.position, chunk.text))
    return {key: tuple(text for _, text in sorted(found)) for key, found in texts.items()}


def _applying(stack: Stack) -> dict[str, int]:
    with stack.ledger.session() as session:
        ids = session.scalars(select(Document.id)).all()
        return versions_at(session, sorted(ids), None)


class Reader:
    """A thread that reads all the time, and knows what may never be read: half a version, nothing
    where there was one, and an old one after its successor."""

    def __init__(self, world: World, before: Answers, after: Answers) -> None:
        self._world, self._before, self._after = world, before, after
        self._stop = threading.Event()
        self._new: set[str] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.reads = 0
        self.wrong: list[str] = []

    def __enter__(self) -> "Reader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        stack = open_fake(self._world.settings)
        # A core of its own is more than a reader gets where workers run too.
        while not self._stop.wait(0.002):
            try:
                self._check(read(stack))
            except SQLAlchemyError:
                # The database is away: no answer is not a wrong one.
                continue
        stack.index.close()
        stack.ledger.engine.dispose()

    def _check(self, now: Answers) -> None:
        self.reads += 1
        for key in self._before.keys() | self._after.keys():
            old, new, got = self._before.get(key), self._after.get(key), now.get(key)
            if got not in (old, new) or (key in self._new and got != new):
                self.wrong.append(f"{key}: {got}")
            if got == new and old != new:
                self._new.add(key)


def copy_home(template: Path, home: Path) -> None:
    shutil.copytree(template, home, ignore=shutil.ignore_patterns("*-shm", "*-wal"))


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Sequence[str]]:
    """What is lost, orphaned or duplicated against an undisturbed run; and what differs else."""
    lost, orphaned, differing = [], [], []
    for part, entries in wanted.items():
        lost += [f"{part} {key}" for key in entries.keys() - found[part].keys()]
        orphaned += [f"{part} {key}" for key in found[part].keys() - entries.keys()]
        shared = entries.keys() & found[part].keys()
        differing += [f"{part} {key}" for key in shared if entries[key] != found[part][key]]
    texts = Counter((c.key, c.since, c.position, c.text) for c, _, _ in found["points"].values())
    twice = [str(place) for place, times in texts.items() if times > 1]
    return {"lost": lost, "orphaned": orphaned, "duplicated": twice, "differing": differing}


__all__ = ["AFTER", "BEFORE", "PUSH_AFTER", "PUSH_BEFORE", "FileIndex", "Reader", "World"]
