"""What others notice while something beside them is slow, locked, full or dead.

    .venv/bin/python -m benchmarks.beside [--rounds 4] [--seconds 6] [--only locked-sqlite,…]

Two servers, `twofold serve`'s application over two documents, answer by the composer: one with
SQLite on a small disk of its own (a tmpfs: needs root, else `full-disk` is left out), one with
PostgreSQL. Callers ask at a steady rate, `chat`, `search` and `healthz`, and are counted from when
they wanted to ask. For each fault quiet and faulty phases take turns.

What the fault does not touch must be answered as ever: its p99 is of the whole phase. What needs
the broken part must be told so, with 503: its p99 is of those that came once that was known
(`onset` seconds later); the longest wait before it is a column of its own.
Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psycopg
from rich.table import Table

from benchmarks.answering import Child, child, raise_open_files
from benchmarks.harness import publish
from tests.servers import PostgresServer
from tests.services.answer.asking import QUESTION

KINDS = ("chat", "search", "healthz")
PER_S = 6
"""Of each kind."""
ONSET_S = 4.0
CROWD = 40
DISK_KB = 65_536


class Call(NamedTuple):
    kind: str
    at: float
    """Seconds into the phase."""
    ms: float
    status: int


@dataclass
class Calls:
    quiet: list[Call] = field(default_factory=list)
    beside: list[Call] = field(default_factory=list)


@dataclass
class World:
    """A server, what its callers need, and its ledger by the back door."""

    server: Child
    http: httpx.AsyncClient
    postgres: PostgresServer | None = None
    database: str = ""

    @property
    def key(self) -> str:
        return self.server.words[1]

    @property
    def crowd(self) -> list[str]:
        return self.server.words[3:]

    @property
    def home(self) -> Path:
        return Path(self.server.words[2])

    async def ask(self, kind: str) -> int:
        if kind == "healthz":
            return (await self.http.get("/healthz")).status_code
        body = {"message": QUESTION} if kind == "chat" else {"query": QUESTION}
        headers = {"Authorization": f"Bearer {self.key}"}
        return (await self.http.post(f"/v1/{kind}", json=body, headers=headers)).status_code

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        url = self.http.base_url
        await asyncio.get_running_loop().sock_connect(made, (url.host, url.port))
        return await asyncio.open_connection(sock=made, limit=4096)


Fault = Callable[[World], AbstractAsyncContextManager[None]]


# --- callers that are slow -----------------------------------------------------------------------


@asynccontextmanager
async def _crowd(one: Callable[[int], Any]) -> AsyncIterator[None]:
    """They come within a second: forty at one instant are a burst, which is another fault."""

    async def come(number: int) -> None:
        await asyncio.sleep(number / CROWD)
        await one(number)

    tasks = [asyncio.create_task(come(number)) for number in range(CROWD)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def slow_bodies(world: World) -> AsyncIterator[None]:
    """A byte now and then, of many bodies; whoever is cut comes again."""

    async def one(number: int) -> None:
        key = world.crowd[number % len(world.crowd)]
        while True:
            with contextlib.suppress(OSError):
                _, writer = await world.connect()
                writer.write(
                    b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                    b"Content-Type: application/json\r\n"
                    b"Authorization: Bearer %b\r\n\r\n" % key.encode()
                )
                try:
                    while not writer.is_closing():
                        writer.write(b" ")
                        await writer.drain()
                        await asyncio.sleep(0.3)
                finally:
                    writer.close()

    async with _crowd(one):
        yield


@asynccontextmanager
async def slow_readers(world: World) -> AsyncIterator[None]:
    """Many long answers that are asked for, and never read; others are counted once all were asked,
    since forty questions at once are load, which benchmarks/overload.py is about."""

    async def one(number: int) -> None:
        key = world.crowd[number % len(world.crowd)]
        body = json.dumps({"message": QUESTION, "stream": True}).encode()
        head = b"Host: localhost\r\nAuthorization: Bearer %b\r\n" % key.encode()
        _, writer = await world.connect()
        try:
            writer.write(
                b"POST /v1/chat HTTP/1.1\r\n%bContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (head, len(body), body)
            )
            writer.write(b"GET /openapi.json HTTP/1.1\r\n%b\r\n" % head * 4)
            await asyncio.sleep(3600)
        finally:
            writer.close()

    async with _crowd(one):
        await settled(world)
        yield


# --- a target that is slow -----------------------------------------------------------------------


class Targets:
    """Two receivers of hand-overs; one can be made to send a byte now and then."""

    def __init__(self) -> None:
        self.slow = False
        self.heard: Counter[str] = Counter()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._receive, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            name = head.split(b" ")[1].decode()
            self.heard[name] += 1
            if name == "/slow" and self.slow:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while not writer.is_closing():
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
        writer.close()


TARGETS = Targets()


@asynccontextmanager
async def slow_target(world: World) -> AsyncIterator[None]:
    del world
    TARGETS.slow = True
    try:
        yield
    finally:
        TARGETS.slow = False


async def _hand_over(world: World) -> None:
    """Hand-overs at a steady rate, in quiet phases as well."""
    headers = {"Authorization": f"Bearer {world.key}"}
    while True:
        body = {"message": "a person, please"}
        await world.http.post("/v1/handoffs", json=body, headers=headers)
        await asyncio.sleep(0.5)


# --- a ledger that is locked, full or dead -------------------------------------------------------


@asynccontextmanager
async def locked_sqlite(world: World) -> AsyncIterator[None]:
    other = sqlite3.connect(
        world.home / "ledger.db", isolation_level=None, timeout=30, check_same_thread=False
    )
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@asynccontextmanager
async def full_disk(world: World) -> AsyncIterator[None]:
    filler = world.home / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    try:
        yield
    finally:
        filler.unlink()


@asynccontextmanager
async def locked_postgres(world: World) -> AsyncIterator[None]:
    assert world.postgres is not None
    where = world.postgres.url(world.database).replace("+psycopg", "")
    async with await psycopg.AsyncConnection.connect(where) as other:
        await other.execute("LOCK TABLE conversations, answers IN ACCESS EXCLUSIVE MODE")
        yield
        await other.rollback()


@asynccontextmanager
async def stopped_postgres(world: World) -> AsyncIterator[None]:
    assert world.postgres is not None
    world.postgres.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        world.postgres.signal(signal.SIGCONT)


class Plan(NamedTuple):
    fault: Fault
    ledger: str
    touched: frozenset[str] = frozenset()
    """What needs the broken part: it is to be refused."""


PLANS: dict[str, Plan] = {
    "slow-bodies": Plan(slow_bodies, "sqlite"),
    "slow-readers": Plan(slow_readers, "sqlite"),
    "slow-target": Plan(slow_target, "sqlite"),
    "locked-sqlite": Plan(locked_sqlite, "sqlite", frozenset({"chat"})),
    "full-disk": Plan(full_disk, "sqlite", frozenset({"chat"})),
    "locked-postgres": Plan(locked_postgres, "postgres", frozenset({"chat"})),
    "stopped-postgres": Plan(stopped_postgres, "postgres", frozenset({"chat", "search"})),
}


# --- asking --------------------------------------------------------------------------------------


async def phase(world: World, seconds: float) -> list[Call]:
    """Calls at a steady rate, whatever becomes of those before."""
    calls: list[Call] = []
    begun = time.perf_counter()

    async def one(kind: str, at: float) -> None:
        await asyncio.sleep(max(0.0, begun + at - time.perf_counter()))
        try:
            status = await world.ask(kind)
        except httpx.HTTPError:
            status = 0
        calls.append(Call(kind, at, (time.perf_counter() - begun - at) * 1000, status))

    step = 1 / PER_S
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * PER_S)):
            for place, kind in enumerate(KINDS):
                group.create_task(one(kind, (number + place / len(KINDS)) * step))
    return calls


async def measure(world: World, plan: Plan, rounds: int, seconds: float) -> Calls:
    found = Calls()
    for _ in range(rounds):
        await settled(world)
        found.quiet += await phase(world, seconds)
        async with plan.fault(world):
            found.beside += await phase(world, seconds + ONSET_S)
    await settled(world)
    return found


async def settled(world: World) -> None:
    """Everything answers again, a few times in a row."""
    row, until = 0, time.monotonic() + 120
    while row < 5:
        assert time.monotonic() < until, "it does not come back"
        row = row + 1 if {await world.ask(kind) for kind in KINDS} == {200} else 0
        await asyncio.sleep(0.1)


def judged(name: str, plan: Plan, calls: Calls) -> list[dict[str, Any]]:
    rows = []
    for kind in KINDS:
        quiet = [c.ms for c in calls.quiet if c.kind == kind]
        mine = [c for c in calls.beside if c.kind == kind]
        touched = kind in plan.touched
        late = [c for c in mine if c.at >= ONSET_S] if touched else mine
        wanted = 503 if touched else 200
        q99, b99 = (float(np.percentile(each, 99)) for each in (quiet, [c.ms for c in late]))
        rows.append(
            {
                "fault": name,
                "kind": kind,
                "told": wanted,
                "calls": len(late),
                "as_told": sum(c.status == wanted for c in late),
                "statuses": str(dict(Counter(c.status for c in late))),
                "quiet_ms_p99": q99,
                "beside_ms_p99": b99,
                "ratio": b99 / q99,
                "onset_worst_ms": max((c.ms for c in mine if c.at < ONSET_S), default=0.0),
            }
        )
    return rows


async def run(world: World, names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        plan = PLANS[name]
        with contextlib.suppress(asyncio.CancelledError):
            handing = asyncio.create_task(_hand_over(world)) if name == "slow-target" else None
            rows += judged(name, plan, await measure(world, plan, rounds, seconds))
            print(name, "done", file=sys.stderr)
            if handing is not None:
                handing.cancel()
    return rows


# --- servers -------------------------------------------------------------------------------------


def serve(home: str, targets: int) -> None:
    """Prints its address, a key, its home, and keys of a crowd."""
    from services.answer.access.keys import create_key
    from services.http import server
    from services.standalone.app import create_app
    from tests.services.answer.asking import knowing, with_settings
    from twofold import telemetry

    raise_open_files()
    telemetry.configure(json=True)
    os.environ["TWOFOLD_BESIDE_SECRET"] = "beside"
    with knowing(Path(home)) as parts:
        hooks = [
            {"kind": "webhook", "name": name, "url": f"http://127.0.0.1:{targets}/{name}",
             "secret_env": "TWOFOLD_BESIDE_SECRET"}
            for name in ("slow", "quick")
        ]  # fmt: skip
        parts = with_settings(parts, handoff_targets=hooks)
        ledger = parts.stack.ledger
        keys = [
            create_key(ledger, f"caller-{n}", "default", ["admin"], rate=10**6).plain
            for n in range(5)
        ]
        bound = server.bind("127.0.0.1", 0)
        url = server.address("127.0.0.1", bound)
        words = (url, keys[0], parts.stack.settings.home, *keys[1:])
        server.run(create_app(parts), bound, url, lambda: print(*words, flush=True))


def _mounted(folder: Path) -> bool:
    """Whether the folder is a small disk of its own now."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KB}k", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


async def all_of_it(names: list[str], rounds: int, seconds: float) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with TARGETS.serving() as targets:
        for ledger in ("sqlite", "postgres"):
            mine = [name for name in names if PLANS[name].ledger == ledger]
            with ExitStack() as opened:
                folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
                postgres, database = None, ""
                os.environ.pop("TWOFOLD_LEDGER_URL", None)
                if ledger == "sqlite" and mine:
                    if _mounted(folder):
                        opened.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)
                    elif "full-disk" in mine:
                        mine.remove("full-disk")
                        print("full-disk is left out: mounting a small disk needs root")
                elif mine:
                    other = opened.enter_context(tempfile.TemporaryDirectory())
                    postgres = PostgresServer(Path(other))
                    postgres.start()
                    opened.callback(postgres.stop, "immediate")
                    database = postgres.database()
                    os.environ["TWOFOLD_LEDGER_URL"] = postgres.url(database)
                if not mine:
                    continue
                given = ("--serve", str(folder), "--targets", str(targets))
                server = opened.enter_context(child(__file__, *given))
                limits = httpx.Limits(max_connections=None)
                async with httpx.AsyncClient(
                    base_url=server.url, timeout=60, limits=limits, trust_env=False
                ) as http:
                    world = World(server, http, postgres, database)
                    rows += await run(world, mine, rounds, seconds)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--only", default=",".join(PLANS))
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--targets", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, args.targets)
        return
    raise_open_files()
    names = args.only.split(",")
    if unknown := [name for name in names if name not in PLANS]:
        sys.exit(f"There is no fault {unknown[0]!r}: {', '.join(PLANS)}.")
    rows = asyncio.run(all_of_it(names, args.rounds, args.seconds))
    table = Table("fault", "asked", "told", "quiet p99", "beside p99", "ratio", "worst at onset")
    for row in rows:
        told = f"{row['told']}: {row['as_told']} of {row['calls']}"
        figures = (f"{row[name]:.1f} ms" for name in ("quiet_ms_p99", "beside_ms_p99"))
        worst = f"{row['onset_worst_ms']:.0f} ms"
        table.add_row(row["fault"], row["kind"], told, *figures, f"{row['ratio']:.2f}", worst)
    publish("beside", {"rows": rows}, table)


if __name__ == "__main__":
    main()
