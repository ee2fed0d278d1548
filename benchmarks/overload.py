"""More questions than we can answer: what still gets done, and how quickly the rest hear so.

    .venv/bin/python -m benchmarks.overload [--seconds 6] [--times 5 10]

A model server whose replies take about a third of a second, our service with room for 8 of them and
4 more that wait (answering.py), and this process as the clients. Capacity is what 10 callers get
done who ask again as soon as they are answered. Then questions arrive in an open loop, at so many
times the capacity, evenly, whether or not others have been answered. Each must end in an answer
(by the model or a lower step), each answer once, or in a 429 with Retry-After. Refusals are timed
from the first byte sent to the last received. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table

from benchmarks.answering import Child, child, raise_open_files, service
from benchmarks.harness import publish
from tests.services.answer.asking import QUESTION

CALLS, WAITING, CALLERS = 8, 4, 10
TOKENS, GAP_MS = 28, 12
KEPT_S = 3.0
Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
ENDS = (b"\r\n0\r\n\r\n", b"}")
"""Of a stream, and of a problem document."""


@dataclass
class Told:
    """How questions ended: the answers' ids, by what made them; and seconds."""

    answers: list[bytes] = field(default_factory=list)
    made_by: Counter[str] = field(default_factory=Counter)
    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    lost: list[bytes] = field(default_factory=list)
    """Replies that are neither."""

    def note(self, reply: bytes, seconds: float) -> None:
        done = reply.rpartition(b"event: done")[2]
        id, by = (re.search(rb'"%s":"(.*?)"' % name, done) for name in (b"answer_id", b"served_by"))
        if reply.startswith(b"HTTP/1.1 200") and id and by:
            self.answers.append(id[1])
            self.made_by[by[1].decode()] += 1
            self.answered.append(seconds)
        elif reply.startswith(b"HTTP/1.1 429") and b"\nretry-after: " in reply.lower():
            self.refused.append(seconds)
        else:
            self.lost.append(reply)


class Clients:
    """Customers, each with a connection for as long as a question takes; kept for the next."""

    def __init__(self, ours: Child) -> None:
        host, port = ours.url.removeprefix("http://").split(":")
        self._at = host, int(port)
        body = json.dumps({"message": QUESTION, "stream": True}).encode()
        self._request = (
            f"POST /v1/chat HTTP/1.1\r\nhost: {host}:{port}\r\n"
            f"authorization: Bearer {ours.words[1]}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._idle: list[tuple[float, Line]] = []

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[Line]:
        # The latest first; one that lay longer than KEPT_S may be closed at the other end.
        since, line = self._idle.pop() if self._idle else (0.0, None)
        if line is None or time.monotonic() - since > KEPT_S:
            line = await asyncio.open_connection(*self._at)
        yield line
        self._idle.append((time.monotonic(), line))

    async def ask(self, told: Told) -> None:
        async with self._line() as (reader, writer):
            started = time.perf_counter()
            writer.write(self._request)
            reply = await reader.read(65_536)
            end = ENDS[0] if reply.startswith(b"HTTP/1.1 200") else ENDS[1]
            while reply and not reply.endswith(end):
                more = await reader.read(65_536)
                if not more:
                    break
                reply += more
            told.note(reply, time.perf_counter() - started)

    async def over_and_over(self, callers: int, seconds: float) -> Told:
        told, until = Told(), time.perf_counter() + seconds

        async def caller() -> None:
            while time.perf_counter() < until:
                await self.ask(told)

        await asyncio.gather(*(caller() for _ in range(callers)))
        return told

    async def arriving(self, per_second: float, seconds: float) -> Told:
        told, asking = Told(), set()
        started = time.perf_counter()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            asking.add(asyncio.create_task(self.ask(told)))
        await asyncio.gather(*asking)
        return told

    def close(self) -> None:
        for _, (_, writer) in self._idle:
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--times", type=float, nargs="+", default=[5.0, 10.0])
    args = parser.parse_args()
    raise_open_files()
    paced = ("--tokens", str(TOKENS), "--gap-ms", str(GAP_MS))
    room = {"max_in_flight": CALLS + WAITING, "model_calls": CALLS, "model_queue": WAITING}
    with child("-m", "tests.model_server", *paced) as model, service(model.url, **room) as ours:
        report(asyncio.run(measure(ours, args.seconds, args.times)))


async def measure(ours: Child, seconds: float, times: list[float]) -> list[dict[str, float]]:
    clients = Clients(ours)
    await clients.over_and_over(CALLERS, 1.0)
    capacity, before = await timed(clients.over_and_over(CALLERS, seconds)), ours.memory()
    rows = [row_of(1.0, *capacity, capacity, 0.0)]
    for over in times:
        rate = over * rows[0]["answers_per_s"]
        told = await timed(clients.arriving(rate, seconds))
        rows.append(row_of(over, *told, capacity, (ours.memory() - before) / 1024))
    clients.close()
    return rows


async def timed(asked: Awaitable[Told]) -> tuple[Told, float]:
    started = time.perf_counter()
    told = await asked
    return told, time.perf_counter() - started


def row_of(
    over: float, told: Told, seconds: float, capacity: tuple[Told, float], grown: float
) -> dict[str, float]:
    rate = len(told.answers) / seconds
    refused = np.array(told.refused or [0.0]) * 1000
    return {
        "times_capacity": over,
        "asked": len(told.answers) + len(told.refused) + len(told.lost),
        "answers_per_s": round(rate, 1),
        "goodput_share": round(rate / (len(capacity[0].answers) / capacity[1]), 3),
        "by_model": told.made_by["base"],
        "by_lower_steps": len(told.answers) - told.made_by["base"],
        "answered_p99_ms": round(float(np.percentile(told.answered, 99)) * 1000, 1),
        "refused": len(told.refused),
        "refused_p50_ms": round(float(np.percentile(refused, 50)), 2),
        "refused_p99_ms": round(float(np.percentile(refused, 99)), 2),
        "lost": len(told.lost),
        "told_twice": len(told.answers) - len(set(told.answers)),
        "memory_grown_mb": round(grown, 1),
    }


def report(rows: list[dict[str, float]]) -> None:
    table = Table(title="Arrivals beyond capacity, open loop")
    table.add_column("measure")
    for row in rows:
        table.add_column(f"{row['times_capacity']:g}x", justify="right")
    for name in rows[0]:
        table.add_row(name.replace("_", " "), *(f"{row[name]:g}" for row in rows))
    publish("overload", {f"{row['times_capacity']:g}x": row for row in rows}, table)


if __name__ == "__main__":
    main()
