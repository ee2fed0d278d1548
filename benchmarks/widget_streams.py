"""A thousand visitors with open streams, and one who does not stop asking.

    .venv/bin/python -m benchmarks.widget_streams [--streams 1000] [--seconds 8]

The server, `twofold serve`'s application on one core, answers by the composer and from two
documents. Visitors begin a session and keep their event stream open. Asked is, with none and with
all of them there: a question straight to the answer service, and the same one through the widget
(from sending to the first word, and to the last event). Then an agent's message, to its visitor's
open stream. Last, phases with and without a visitor who sends 50 requests a second take turns,
while others send theirs.
Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import numpy as np
from rich.table import Table

from benchmarks.answering import Child, child, raise_open_files
from benchmarks.harness import publish
from services.widget.tokens import Tokens
from tests.services.answer.asking import QUESTION

ORIGIN = "https://shop.example.com"
ASKED, HEARD, CALM, ROUNDS = 60, 40, 40, 12
NOISE_PER_S, NOISE_LINES, CALM_PER_S = 50, 4, 10


class Frame:
    """A visitor's frame, over one client that all share."""

    def __init__(self, http: httpx.AsyncClient, site: str, session: dict[str, Any]) -> None:
        self.http = http
        self.base = f"/widget/v1/{site}"
        self.token: str = session["token"]
        self.headers = {"Authorization": f"Bearer {self.token}", "Twofold-Origin": ORIGIN}

    async def ask(self) -> tuple[float, float]:
        body = {"id": str(uuid4()), "text": QUESTION}
        return await told(self.http, f"{self.base}/messages", body, self.headers)

    async def look(self) -> tuple[int, float]:
        begun = time.perf_counter()
        reply = await self.http.get(f"{self.base}/thread", headers=self.headers)
        return reply.status_code, time.perf_counter() - begun

    def where(self) -> tuple[str, int]:
        url = urlsplit(str(self.http.base_url))
        assert url.hostname is not None
        assert url.port is not None
        return url.hostname, url.port

    def request(self, what: str) -> bytes:
        host, port = self.where()
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"GET {self.base}/{what} HTTP/1.1\r\nHost: {host}:{port}\r\n{head}\r\n".encode()

    async def follow(self) -> asyncio.StreamReader:
        """The visitor's open stream, its first event read."""
        reader, writer = await asyncio.open_connection(*self.where())
        writer.write(self.request("events"))
        await reader.readuntil(b"event: state")
        self.kept = writer
        return reader


async def told(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], headers: dict[str, str]
) -> tuple[float, float]:
    """Seconds until the first word of an answer, and until its last event."""
    begun, first, content = time.perf_counter(), 0.0, b""
    async with http.stream("POST", path, json=body, headers=headers) as reply:
        async for chunk in reply.aiter_raw():
            content += chunk
            if not first and b"event: delta" in content:
                first = time.perf_counter() - begun
    assert b"event: done" in content, content
    return first, time.perf_counter() - begun


class Crowd:
    """Visitors of one site."""

    def __init__(self, server: Child, http: httpx.AsyncClient) -> None:
        self.http = http
        self.site, secret = server.words[2:4]
        self._tokens = Tokens(secret.encode())
        self.key = {"Authorization": f"Bearer {server.words[1]}"}

    async def one(self) -> Frame:
        body = {"ticket": self._tokens.ticket(self.site, ORIGIN), "origin": ORIGIN}
        begun = await self.http.post(f"/widget/v1/{self.site}/sessions", json=body)
        assert begun.status_code == 201, begun.text
        return Frame(self.http, self.site, begun.json())

    async def many(self, count: int) -> list[Frame]:
        return [await self.one() for _ in range(count)]

    async def straight(self) -> tuple[float, float]:
        """A question to the answer service itself."""
        return await told(self.http, "/v1/chat", {"message": QUESTION, "stream": True}, self.key)


async def added(crowd: Crowd, server: Child) -> dict[str, float]:
    """Milliseconds that the widget adds, p50 of pairs: to the first word, to the last event, and
    of the server's processor."""
    pairs = []
    for frame in await crowd.many(ASKED):
        spent = [server.cpu()]
        straight = await crowd.straight()
        spent.append(server.cpu())
        through = await frame.ask()
        spent.append(server.cpu())
        pairs.append(((*straight, spent[1] - spent[0]), (*through, spent[2] - spent[1])))
    straights, throughs = np.array(pairs[5:]).transpose(1, 0, 2) * 1000
    names = ("first_word_ms", "whole_ms", "cpu_ms")
    return {
        **dict(zip(names, np.median(straights, axis=0).tolist(), strict=True)),
        **{
            f"{name}_added": value
            for name, value in zip(
                names, np.median(throughs - straights, axis=0).tolist(), strict=True
            )
        },
    }


async def heard(crowd: Crowd) -> list[float]:
    """Milliseconds from an agent's reply to its visitor's open stream."""
    frame = await crowd.one()
    reader = await frame.follow()
    asked = await crowd.http.post(
        f"{frame.base}/handoff", json={"consent": True}, headers=frame.headers
    )
    id = asked.json()["thread_id"]
    await crowd.http.post(f"/desk/v1/handoffs/{id}/take", json={"name": "A"}, headers=crowd.key)
    found = []
    for number in range(HEARD):
        text = f"message {number}."
        begun = time.perf_counter()
        sent = asyncio.create_task(
            crowd.http.post(
                f"/desk/v1/handoffs/{id}/reply",
                json={"id": str(uuid4()), "text": text},
                headers=crowd.key,
            )
        )
        await reader.readuntil(text.encode())
        found.append((time.perf_counter() - begun) * 1000)
        await sent
    return found


async def beside_noise(crowd: Crowd, server: Child, seconds: float) -> dict[str, float]:
    """Calm visitors' requests without and with the noise, and what the noise costs the server."""
    calm, noisy = await crowd.many(CALM), await crowd.one()
    times: dict[bool, list[float]] = {False: [], True: []}
    refused, spent = 0, {False: 0.0, True: 0.0}
    for _ in range(ROUNDS):
        for noise in (False, True):
            until, before = time.perf_counter() + seconds / ROUNDS, server.cpu()
            tasks = [asyncio.create_task(_calm(calm, until, times[noise]))]
            if noise:
                tasks.append(asyncio.create_task(_noise(noisy, until)))
            done = await asyncio.gather(*tasks)
            refused += sum(each or 0 for each in done)
            spent[noise] += server.cpu() - before
    quiet, beside = (float(np.percentile(times[noise], 95)) for noise in (False, True))
    return {
        "calm_ms_p95": quiet,
        "calm_beside_noise_ms_p95": beside,
        "noise_p95_ratio": beside / quiet,
        "noise_refused": refused,
        "noise_share_of_a_core": (spent[True] - spent[False]) / seconds,
    }


async def _calm(frames: list[Frame], until: float, times: list[float]) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(10**9):
            if time.perf_counter() > until:
                break
            group.create_task(_timed(frames[number % len(frames)], times))
            await asyncio.sleep(1 / CALM_PER_S)


async def _timed(frame: Frame, times: list[float]) -> None:
    status, seconds = await frame.look()
    assert status == 200, status
    times.append(seconds * 1000)


async def _noise(frame: Frame, until: float) -> int:
    """How many were refused. Plain sockets: what this process does must not slow the others."""
    connections = [await asyncio.open_connection(*frame.where()) for _ in range(NOISE_LINES)]
    counts = [asyncio.create_task(_refusals(reader)) for reader, _ in connections]
    number = 0
    while time.perf_counter() < until:
        connections[number % NOISE_LINES][1].write(frame.request("thread"))
        number += 1
        await asyncio.sleep(1 / NOISE_PER_S)
    for _, writer in connections:
        writer.write_eof()
    return sum(await asyncio.gather(*counts))


async def _refusals(reader: asyncio.StreamReader) -> int:
    content = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while True:
                content += await reader.read(65_536)
                if reader.at_eof():
                    break
    return content.count(b"HTTP/1.1 429")


@asynccontextmanager
async def client(server: Child) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=64)
    async with httpx.AsyncClient(base_url=server.url, timeout=60, limits=limits) as http:
        yield http


async def measure(server: Child, streams: int, seconds: float) -> dict[str, float]:
    async with client(server) as http:
        crowd = Crowd(server, http)
        alone = await added(crowd, server)
        before = server.memory()
        kept = [(frame, await frame.follow()) for frame in await crowd.many(streams)]
        memory = (server.memory() - before) / streams
        cpu, began = server.cpu(), time.perf_counter()
        await asyncio.sleep(seconds)
        idle = (server.cpu() - cpu) / (time.perf_counter() - began)
        among = await added(crowd, server)
        replies = await heard(crowd)
        noise = await beside_noise(crowd, server, seconds * 2)
        assert len(kept) == streams
    return {
        "streams": streams,
        "memory_kib_a_stream": memory,
        "idle_share_of_a_core": idle,
        **alone,
        **{f"{name}_among_them": value for name, value in among.items()},
        "reply_heard_ms_p50": float(np.median(replies)),
        "reply_heard_ms_p95": float(np.percentile(replies, 95)),
        **noise,
    }


def serve(secret: str) -> None:
    """The server, on one core; prints its address, a key, the site and the secret."""
    from pydantic import SecretStr

    from services.answer.access.keys import create_key
    from services.http import server
    from services.standalone.app import create_app
    from services.widget.sites import read_config
    from tests.services.answer.asking import knowing, with_settings

    raise_open_files()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, knowing(Path(folder)) as parts:
        secure = {"widget_secret": SecretStr(secret), "widget_address_per_minute": 10**6}
        parts = with_settings(parts, **secure)
        scopes = ["answer", "read", "handoffs"]
        key = create_key(parts.stack.ledger, "bench", "default", scopes, rate=10**6)
        app = create_app(parts)
        site = app.state.widget.sites.add(read_config({"name": "shop", "origins": [ORIGIN]}))
        bound = server.bind("127.0.0.1", 0)
        url = server.address("127.0.0.1", bound)
        server.run(app, bound, url, lambda: print(url, key.plain, site.id, secret, flush=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    raise_open_files()
    with child(__file__, "--serve", secrets.token_hex(24)) as server:
        found = asyncio.run(measure(server, args.streams, args.seconds))
    table = Table("what", "figure")
    for name, value in found.items():
        table.add_row(name, f"{value:.3g}")
    publish("widget_streams", {name: round(value, 3) for name, value in found.items()}, table)


if __name__ == "__main__":
    main()
