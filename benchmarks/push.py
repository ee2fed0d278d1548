"""From the push of one changed document to its correct answer, in both sizes.

    .venv/bin/python -m benchmarks.push [--pushes 60]

The example help center is indexed; then one more document is pushed over HTTP again and again, each
time with another number, and its question is asked until the answer says the new number. Embedded,
the request returns once the document answers. In the full size the request returns once the job is
accepted, and a Celery worker takes it from there, over Redis (append-only file) and a PostgreSQL
ledger, both real and started here; the worker is a thread pool of this process, because the index
is the in-process engine: what a Qdrant server's own network hop adds is not in it. Prints a table,
and last one line of JSON (milliseconds).
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from celery.contrib.testing.worker import start_worker
from fastapi import FastAPI
from fastapi.testclient import TestClient
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.harness import percentiles, publish
from ingestion.api import router
from ingestion.jobs.celery import make_app
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.pipeline import Parts, ask_once
from tests.servers import PostgresServer, RedisServer
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

EXAMPLE = Path(__file__).parent.parent / "examples" / "brackwater"
WORKSPACE = "default"
URL = "/v1/documents/push/quarry-tank.md"
QUESTION = "How many litres does the quarry tank hold?"
TEXT = """---
title: The quarry tank
---
## Capacity

The quarry tank holds {} litres. It is filled on Mondays.

## Cleaning

The quarry tank is cleaned by its keeper before each filling.
"""
TARGETS = {"embedded": 1000.0, "celery": 2000.0}
GIVE_UP_SECONDS = 30.0


class Lent(Stack):
    """The same stack in a second hand, which does not close it."""

    def __exit__(self, *_: object) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pushes", type=int, default=60)
    args = parser.parse_args()
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), house=EXAMPLE / "house.yaml")
        with open_stack(settings) as stack:
            taken["embedded"] = measure(stack, args.pushes, wait=True)
    with full_size() as settings, open_stack(settings) as stack, celery_worker(stack):
        taken["celery"] = measure(stack, args.pushes, wait=False)
    report(taken)


@contextmanager
def full_size() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="twofold-push-") as folder:
        places = {name: Path(folder) / name for name in ("home", "redis", "postgres")}
        for place in places.values():
            place.mkdir()
        Path(folder).chmod(0o711)
        broker = RedisServer(places["redis"])
        database = PostgresServer(places["postgres"], durable=True)
        broker.start()
        database.start()
        try:
            yield Settings(
                home=places["home"],
                house=EXAMPLE / "house.yaml",
                ledger_url=database.url(database.database()),
                redis_url=broker.url,
            )
        finally:
            broker.stop()
            database.stop("immediate")


@contextmanager
def celery_worker(stack: Stack) -> Iterator[None]:
    lent = Lent(**{each.name: getattr(stack, each.name) for each in fields(Stack)})
    app = make_app(stack.settings, lambda _settings: lent)
    with start_worker(
        app, pool="threads", concurrency=2, perform_ping_check=False, loglevel="ERROR"
    ):
        yield


def measure(stack: Stack, pushes: int, *, wait: bool) -> list[float]:
    """Milliseconds of each push, until it answers."""
    sync(stack, WORKSPACE, Folder("help-center", EXAMPLE / "help-center"))
    parts = open_parts(stack)
    app = FastAPI()
    app.include_router(router(stack))
    taken = []
    with TestClient(app) as client:
        for number in range(1000, 1000 + pushes + 3):
            started = time.perf_counter()
            body = {"content": TEXT.format(number)}
            client.put(URL, params={"wait": wait}, json=body).raise_for_status()
            until_answered(parts, lambda text, n=number: str(n) in text.replace(",", ""))
            taken.append((time.perf_counter() - started) * 1000)
    return taken[3:]


def until_answered(parts: Parts, right: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    answered = None
    while time.monotonic() < deadline:
        answered = asyncio.run(ask_once(Ask(QUESTION, WORKSPACE), parts))
        if right(answered.text):
            return
    raise SystemExit(f"The question was never answered with what was pushed: {answered}")


def report(taken: dict[str, list[float]]) -> None:
    table = Table(title="Push of one changed document to its correct answer, milliseconds")
    for column in ("size", "pushes", "p50", "p95", "target p95"):
        table.add_column(column, justify="left" if column == "size" else "right")
    result: dict[str, object] = {}
    for size, each in taken.items():
        found = percentiles(each)
        p50, p95 = found["p50"], found["p95"]
        table.add_row(size, str(len(each)), f"{p50:.0f}", f"{p95:.0f}", f"{TARGETS[size]:.0f}")
        result[size] = {**found, "pushes": len(each), "met": p95 < TARGETS[size]}
    publish("push", result, table)


if __name__ == "__main__":
    main()
