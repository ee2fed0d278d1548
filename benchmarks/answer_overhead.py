"""What we add to a streaming model server: the same server asked directly and through us.

    .venv/bin/python benchmarks/answer_overhead.py [--rounds 60] [--tokens 100] [--gap-ms 2]
        [--streams 1000]

Three processes: a model server that streams a token every gap (tests/model_server.py), our service
under uvicorn, and this one as the client. Time to first token is that of the first piece of text a
client gets; through us a piece is a sentence that was verified, so that the server's own time to
write a sentence is told beside it ("first sentence"). The service knows two documents and embeds by
hashing: embedding and index cost are not what is measured. What it adds is told whole, and beyond
retrieval, packing and deciding as its own records time them. CPU is that of the service's process;
requests per second are those of its one process, with 32 callers.
Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
QUESTION = "How long does rolling a signing secret keep both secrets valid?"
LOOKING = ("condense", "retrieve", "pack", "decide")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Streams:
    """Seconds to the first word and the first sentence of many streams; of ours, also those spent
    before a model was asked."""

    first: list[float] = field(default_factory=list)
    sentence: list[float] = field(default_factory=list)
    looking: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--gap-ms", type=float, default=2.0)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--serve", metavar="MODEL_URL", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with (
        process(
            *("-m", "tests.model_server", "--tokens", str(args.tokens)),
            *("--gap-ms", str(args.gap_ms)),
        ) as (model, _),
        process(__file__, "--serve", model) as (ours, pid),
    ):
        report(asyncio.run(measure(model, ours, pid, args)))


def serve(model_url: str) -> None:
    import uvicorn

    from services.answer.app import create_app
    from services.answer.crowd import Crowd
    from tests.services.answer.asking import Patience, knowing, with_model

    with tempfile.TemporaryDirectory() as folder, knowing(Path(folder)) as parts:
        patience = Patience(first_token=60, gap=60, deadline=120)
        crowd = Crowd(5000, 5000, "full")
        asked = with_model(parts, model_url, patience=patience, calls=crowd)
        app = create_app(asked)
        config = uvicorn.Config(app, port=0, log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        # asyncio sets TCP_NODELAY where the socket names its protocol; uvicorn's own does not.
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
        server.run(sockets=[bound])


@contextmanager
def process(*command: str) -> Iterator[tuple[str, int]]:
    """A child that prints its address first, and its process id."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    try:
        while not (line := child.stdout.readline()).startswith("http"):
            if child.poll() is not None:
                raise RuntimeError(f"{command} ended")
        yield line.strip(), child.pid
    finally:
        child.terminate()
        child.wait()


async def measure(
    model: str, ours: str, pid: int, args: argparse.Namespace
) -> dict[str, float | dict[str, float]]:
    direct, through = Streams(), Streams()
    async with httpx.AsyncClient(timeout=60, trust_env=False, limits=httpx.Limits()) as http:
        for _ in range(20):
            await ask_model(http, model, Streams())
            await ask_us(http, ours, Streams())
        busy, ids = cpu(pid), list[str]()
        for _ in range(args.rounds):
            await ask_model(http, model, direct)
            ids.append(await ask_us(http, ours, through))
        one = cpu(pid) - busy
        for id in ids:
            timings = (await http.get(f"{ours}/v1/answers/{id}")).json()["timings"]
            through.looking.append(sum(timings[step] for step in LOOKING) / 1000)
        short = await bare_cost(http, ours, pid, args.rounds)
        rate = await throughput(http, ours)
    tokens = args.rounds * args.tokens
    before = memory(pid)
    grown = await open_streams(ours, args.streams, pid)
    return {
        "tokens": args.tokens,
        "direct_first_token_ms": quantiles(direct.first),
        "direct_first_sentence_ms": quantiles(direct.sentence),
        "ours_first_sentence_ms": quantiles(through.first),
        "added_ms": {
            name: round(quantiles(through.first)[name] - quantiles(direct.sentence)[name], 2)
            for name in ("p50", "p95")
        },
        "added_beyond_retrieval_ms": quantiles(
            [
                ours - looking - statistics.median(direct.sentence)
                for ours, looking in zip(through.first, through.looking, strict=True)
            ]
        ),
        "cpu_us_per_token": round((one - short) / tokens * 1e6, 1),
        "cpu_ms_per_request_without_model": round(short / args.rounds * 1000, 2),
        "requests_per_s": round(rate, 1),
        "kb_per_open_stream": round((grown - before) / args.streams, 1),
    }


async def ask_model(http: httpx.AsyncClient, url: str, into: Streams) -> None:
    body = {"model": "base", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    await stream(http, f"{url}/v1/chat/completions", body, into, rb'"content": "(.*?)"')


async def ask_us(http: httpx.AsyncClient, url: str, into: Streams, question: str = QUESTION) -> str:
    """The answer's id."""
    body = {"message": question, "stream": True}
    word = rb'event: delta\nid: .*\ndata: {"text":"(.*?)"'
    seen = await stream(http, f"{url}/v1/chat", body, into, word)
    found = re.search(rb'"answer_id":"(.*?)"', seen)
    assert found is not None
    return found[1].decode()


async def stream(
    http: httpx.AsyncClient, url: str, body: dict[str, object], into: Streams, word: bytes
) -> bytes:
    started = time.perf_counter()
    seen, first, sentence = b"", 0.0, 0.0
    async with http.stream("POST", url, json=body) as response:
        response.raise_for_status()
        async for chunk in response.aiter_raw():
            if sentence:
                continue
            seen += chunk
            words = re.findall(word, seen)
            now = time.perf_counter() - started
            first = first or (now if words else 0.0)
            # The next word shows that the sentence has ended: we wait for it too.
            if re.search(rb"\[1\]\s*\w", b"".join(words)) or (b"event: delta" in seen):
                sentence = now
    into.first.append(first)
    into.sentence.append(sentence or first)
    return seen


async def bare_cost(http: httpx.AsyncClient, url: str, pid: int, rounds: int) -> float:
    """CPU seconds of as many questions that no model is asked for."""
    busy = cpu(pid)
    for _ in range(rounds):
        await ask_us(http, url, Streams(), "I want to talk to a human")
    return cpu(pid) - busy


async def throughput(http: httpx.AsyncClient, url: str, callers: int = 32, each: int = 8) -> float:
    async def caller() -> None:
        for _ in range(each):
            await ask_us(http, url, Streams())

    started = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return callers * each / (time.perf_counter() - started)


async def open_streams(url: str, count: int, pid: int) -> float:
    """KiB of the service while `count` clients have opened a stream and read nothing of it."""
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps({"message": QUESTION, "stream": True}).encode()
    head = f"POST /v1/chat HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(body)}\r\n\r\n".encode() + body
    writers = []
    most = memory(pid)
    for start in range(0, count, 20):
        for _ in range(min(20, count - start)):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(request)
            writers.append(writer)
            await reader.readuntil(b"\r\n\r\n")
        most = max(most, memory(pid))
    for writer in writers:
        writer.close()
    return most


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found is not None
    return float(found[1])


def quantiles(seconds: list[float]) -> dict[str, float]:
    taken = np.array(seconds) * 1000
    return {
        "p50": round(statistics.median(taken.tolist()), 2),
        "p95": round(float(np.percentile(taken, 95)), 2),
    }


def report(result: dict[str, float | dict[str, float]]) -> None:
    table = Table(title="The model server directly, and through us")
    table.add_column("measure")
    table.add_column("p50 / value", justify="right")
    table.add_column("p95", justify="right")
    for name, value in result.items():
        both = isinstance(value, dict)
        cells = (f"{value['p50']:.2f}", f"{value['p95']:.2f}") if both else (f"{value}", "")  # type: ignore[index]
        table.add_row(name.replace("_", " "), *cells)
    Console().print(table)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
