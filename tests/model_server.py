"""A model server that speaks the OpenAI streaming protocol, well or as badly as it is told to.

    python -m tests.model_server --port 0 --tokens 200      (prints its address; for benchmarks)

Plain asyncio over sockets, so that it can also break HTTP itself.
"""

import argparse
import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

GOOD = (
    "ANSWER\n"
    "Rolling a signing secret keeps both secrets valid for 12 hours. [1] "
    "Deploy the new secret to your receiver within that time. [1]\n"
)
PROMPT, CACHED = 321, 256
"""Tokens that it says it read, and of these out of its cache."""
FIRST_SENTENCE = "Rolling a signing secret keeps both secrets valid for 12 hours."


@dataclass(slots=True)
class Request:
    """One completion that was asked for, and how its connection fared."""

    body: dict[str, Any]
    arrived: float
    head: str = ""
    """Request line and headers, as they came."""
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed the connection before the reply was through."""

    @property
    def model(self) -> str:
        return str(self.body["model"])


@dataclass(slots=True)
class Line:
    """The way out to one client."""

    writer: asyncio.StreamWriter
    request: Request
    said: int = 0

    async def raw(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def open(self, kind: str = "text/event-stream", status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n"
        await self.raw(f"{head}\r\n".encode())

    async def chunk(self, data: bytes) -> None:
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def data(self, value: object) -> None:
        await self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    async def piece(self, text: str) -> None:
        value: dict[str, Any] = {"choices": [{"index": 0, "delta": {"content": text}}]}
        if self.request.body["stream_options"].get("continuous_usage_stats"):
            self.said += 1
            value["usage"] = {"prompt_tokens": PROMPT, "completion_tokens": self.said}
        await self.data(value)

    async def pieces(self, text: str) -> None:
        for token in tokens_of(text):
            await self.piece(token)

    async def end(self, reason: str = "stop", usage: bool = True) -> None:
        await self.data({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
        if usage:
            counts = {"prompt_tokens": PROMPT, "completion_tokens": 42}
            details = {"prompt_tokens_details": {"cached_tokens": CACHED}}
            await self.data({"choices": [], "usage": counts | details})
        await self.chunk(b"data: [DONE]\n\n")
        await self.raw(b"0\r\n\r\n")

    async def gone(self) -> None:
        """Say no more until the client leaves."""
        await self.request.left.wait()

    def reset(self) -> None:
        self.writer.transport.abort()


Behaviour = Callable[[Line], Awaitable[None]]


def says(text: str, *, usage: bool = True, reason: str = "stop") -> Behaviour:
    async def behave(line: Line) -> None:
        await line.open()
        await line.data({"choices": [{"index": 0, "delta": {"role": "assistant"}}]})
        await line.pieces(text)
        await line.end(reason, usage)

    return behave


def refuses(status: str) -> Behaviour:
    async def behave(line: Line) -> None:
        await line.open("application/json", status)
        await line.data({"error": {"message": "no"}})
        await line.raw(b"0\r\n\r\n")

    return behave


def says_then(text: str, then: Callable[[Line], Awaitable[None]]) -> Behaviour:
    async def behave(line: Line) -> None:
        await line.open()
        await line.pieces(text)
        await then(line)

    return behave


def sends(data: bytes) -> Behaviour:
    """These bytes as the stream, and its regular end."""

    async def behave(line: Line) -> None:
        await line.open()
        await line.chunk(data)
        await line.raw(b"0\r\n\r\n")

    return behave


async def hangs(line: Line) -> None:
    await line.gone()


async def resets(line: Line) -> None:
    line.reset()


async def closes(line: Line) -> None:
    await line.raw(b"0\r\n\r\n")


async def errs(line: Line) -> None:
    await line.data({"error": {"message": "engine died"}})
    await line.raw(b"0\r\n\r\n")


async def babbles(line: Line) -> None:
    while not line.request.left.is_set():
        await line.pieces("Every secret of every endpoint is also kept valid somewhere else. [1] ")
        await asyncio.sleep(0)


async def trickles(line: Line) -> None:
    for letter in "and so on and on " * 10_000:
        if line.request.left.is_set():
            return
        await line.piece(letter)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await line.gone()


async def no_http(line: Line) -> None:
    await line.raw(b"SSH-2.0-OpenSSH_9.6\r\n")
    line.writer.close()


async def endless_line(line: Line) -> None:
    await line.open()
    while not line.request.left.is_set():
        await line.chunk(b"x" * 100_000)


def no_grammar(otherwise: Behaviour) -> Behaviour:
    """As a server without structured outputs."""

    async def behave(line: Line) -> None:
        bad = "structured_outputs" in line.request.body
        await (refuses("400 Bad Request") if bad else otherwise)(line)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """One behaviour for each request; the last one for all that follow."""
    left = list(behaviours)

    async def behave(line: Line) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(line)

    return behave


def tokens_of(text: str) -> Iterator[str]:
    return (match[0] for match in re.finditer(r"\s*\w+|\s*[^\w\s]|\s+", text))


class ModelServer:
    """Serves while its context lasts. `behaviours` by model name; "" is any other model."""

    def __init__(self, behaviours: Behaviour | dict[str, Behaviour]) -> None:
        self._behaviours = behaviours if isinstance(behaviours, dict) else {"": behaviours}
        self.requests: list[Request] = []
        self.arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self, port: int = 0) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()  # what nobody reads any more would keep it open
        await asyncio.sleep(0)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def asked(self, times: int) -> None:
        """Wait until so many requests have arrived."""
        async with asyncio.timeout(30), self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= times)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self._writers.append(writer)
        try:
            while head := await _head(reader):
                length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
                body = json.loads(await reader.readexactly(length))
                request = Request(body, time.monotonic(), head.decode())
                async with self.arrived:
                    self.requests.append(request)
                    self.arrived.notify_all()
                await self._answer(Line(writer, request), reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the server stops: asyncio would log a connection's task that is cancelled
        finally:
            self._serving.discard(task)
            writer.close()

    async def _answer(self, line: Line, reader: asyncio.StreamReader) -> None:
        model = line.request.model
        behaviour = self._behaviours.get(model) or self._behaviours[""]
        watching = asyncio.create_task(_watch(line.request, reader))
        try:
            await behaviour(line)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _watch(request: Request, reader: asyncio.StreamReader) -> None:
    # A client that waits for its reply sends nothing: what can be read is the end.
    with suppress(ConnectionError):
        await reader.read(1)
    request.left.set()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--gap-ms", type=float, default=0.0, help="between two tokens")
    parser.add_argument(
        "--times", type=Path, help="file that gets a line for each reply, see below"
    )
    args = parser.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # clients may leave as they like
    asyncio.run(_forever(args.port, args.tokens, args.gap_ms / 1000, args.times))


SENTENCE = f"{FIRST_SENTENCE} [1] "
STAY = "stay"
"""A question with this word gets two sentences, and then nothing until its client leaves."""


async def _forever(port: int, tokens: int, gap: float, times: Path | None) -> None:
    """Each line of `times`: when the request was there, and when the first token of the second
    sentence was written (which shows that the first has ended), in seconds of time.monotonic."""
    count = len(list(tokens_of(SENTENCE)))
    server = ModelServer(_prepared(max(2, tokens // count), gap, times))
    async with server:
        print(server.url, flush=True)
        await asyncio.Event().wait()


def _prepared(sentences: int, gap: float, times: Path | None) -> Behaviour:
    """Each token a packet of its own, made beforehand: the server's own cost stays small."""
    tokens = list(tokens_of("ANSWER\n" + SENTENCE * sentences))
    second = [n for n, token in enumerate(tokens) if token.strip() == "Rolling"][1]
    packets = []
    for number, token in enumerate(tokens, start=1):
        usage = {"prompt_tokens": PROMPT, "completion_tokens": number}
        value = {"choices": [{"index": 0, "delta": {"content": token}}], "usage": usage}
        data = b"data: " + json.dumps(value).encode() + b"\n\n"
        packets.append(b"%x\r\n%b\r\n" % (len(data), data))

    async def behave(line: Line) -> None:
        stays = STAY in line.request.body["messages"][-1]["content"]
        await line.open()
        for number, packet in enumerate(packets):
            if number == second:
                proven = time.monotonic()
            await line.raw(packet)
            if stays and number > second:
                await line.gone()
                return
            await asyncio.sleep(gap)
        await line.end()
        if times is not None:
            with times.open("a") as file:
                file.write(f"{line.request.arrived} {proven}\n")

    return behave


if __name__ == "__main__":
    main()
