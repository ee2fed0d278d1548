"""A worker process that something happens to: what the tests here start, and the ways it fails."""

import errno
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import ingestion.sync.pipeline
import ingestion.sync.prepare
import ingestion.sync.push
import ingestion.sync.remove
import ingestion.sync.retry
import ingestion.sync.write
from ingestion.jobs.celery import make_app
from ingestion.jobs.local import LocalWorker
from ingestion.jobs.queue import Queue
from ingestion.sources.folder import File
from tests.fakes import HashingEmbedder, make_stack
from tests.faults.store import FileIndex
from twofold.errors import UpstreamError
from twofold.ledger import Ledger
from twofold.settings import Settings
from twofold.stack import Stack

STEPS: Mapping[str, tuple[Any, str]] = {
    "fetch": (File, "fetch"),
    "extract": (ingestion.sync.prepare, "extract"),
    "retrieve": (FileIndex, "retrieve"),
    "embed": (HashingEmbedder, "embed"),
    "write": (FileIndex, "upsert"),
    "close": (FileIndex, "update_payload"),
    "flip": (ingestion.sync.write, "flip"),
    "prune": (ingestion.sync.write, "settle"),
    "remove": (ingestion.sync.pipeline, "remove_missing"),
    "purge": (ingestion.sync.remove, "purge"),
    "delete": (FileIndex, "delete"),
    "done": (Queue, "done"),
}
"""Every step of the pipeline, in its order: what is called there."""


@dataclass(frozen=True)
class Fault:
    """`times` times, at the `nth` call of a step and after it, before or (`late`) after its effect:

    kill        SIGKILL to this process; under Celery, to the pool's child alone
    kill-all    SIGKILL to the worker with all its children
    gate        say that it is reached, and wait to be let on
    unreachable the server behind it cannot be reached
    full        no space left on the device, half of the write done
    ledger-full no room for the ledger from there on
    """

    step: str
    kind: str = "kill"
    late: bool = False
    times: int = 1
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.kind}-{'after' if self.late else 'before'}-{self.step}"


def install(fault: Fault, home: Path) -> None:
    """Wrap the step in this process. How often it happened stands in a file: a worker that is
    started again must not die at the same place for ever."""
    owner, name = STEPS[fault.step]
    original = getattr(owner, name)
    calls = 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        due = calls >= fault.nth and _happened(home) < fault.times
        if due and not fault.late:
            _strike(fault, home, lambda: _half(original, arguments))
        result = original(*arguments, **options)
        if due and fault.late:
            _strike(fault, home, lambda: None)
        return result

    setattr(owner, name, wrapped)


def _happened(home: Path) -> int:
    file = home / "struck"
    return file.stat().st_size if file.exists() else 0


def _strike(fault: Fault, home: Path, half: Callable[[], None]) -> None:
    with (home / "struck").open("ab") as file:
        file.write(b".")
    match fault.kind:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill-all":
            os.killpg(os.getpgid(0), signal.SIGKILL)
        case "gate":
            while not (home / "go").exists():
                time.sleep(0.005)
        case "unreachable":
            raise UpstreamError(f"The server cannot be reached at {fault.step}.")
        case "full":
            half()
            raise OSError(errno.ENOSPC, "No space left on device")
        case "ledger-full":
            (home / "ledger-full").touch()


def _half(original: Any, arguments: tuple[Any, ...]) -> None:
    if len(arguments) == 2 and isinstance(arguments[1], list):
        original(arguments[0], arguments[1][: len(arguments[1]) // 2])


def open_fake(settings: Settings) -> Stack:
    """A stack whose parts several processes may share."""
    index: Any = FileIndex(settings.home / "points.db")
    stack = make_stack(settings.home, index=index, settings=settings)
    if settings.ledger.startswith("sqlite"):
        _bounded(stack.ledger, settings.home / "ledger-full")
    return stack


def _bounded(ledger: Ledger, mark: Path) -> None:
    """Once `mark` is there, the ledger refuses every write as SQLite does on a full disk."""

    @event.listens_for(ledger.engine, "before_cursor_execute")
    def bound(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")) and mark.exists():
            mark.with_name("ledger-was-full").touch()
            cause = sqlite3.OperationalError("database or disk is full")
            raise OperationalError(statement, None, cause)


def impatient() -> None:
    """Back-offs of tests, long enough to see that there are some."""
    ingestion.sync.retry.FIRST_BACKOFF_SECONDS = 0.05
    ingestion.sync.retry.MAX_BACKOFF_SECONDS = 0.2


def local_worker(settings: Settings, fault: Fault | None) -> None:
    """The embedded worker, until it is killed."""
    _begin(settings, fault)
    worker = LocalWorker(open_fake(settings))
    worker.start()
    signal.pause()


def celery_worker(settings: Settings, fault: Fault | None, children: int) -> None:
    """A Celery worker with so many pool children, until it is killed."""
    _begin(settings, fault)
    app = make_app(settings, open_fake)
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=ERROR"]
    queues = "--queues=push,files,web,clock"
    app.worker_main(["worker", "--pool=prefork", f"--concurrency={children}", queues, *options])


def _begin(settings: Settings, fault: Fault | None) -> None:
    # A group of its own, to be killed as a whole.
    os.setsid()
    impatient()
    if fault is not None:
        install(fault, settings.home)
        if fault.kind == "ledger-full":
            # A full disk stays full: waiting for it is waiting for ever.
            ingestion.sync.retry.LEDGER_SECONDS = 0.2
