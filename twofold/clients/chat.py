"""Chat models behind an OpenAI-compatible server (vLLM): streamed, with deadline, retry, breaker.

No retry after the first token: a half-told answer is never told twice.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import httpx
import orjson

from twofold.errors import Overloaded, UpstreamError
from twofold.prompt import Message

CONNECT_S = 2.0
RETRY_PAUSE_S = 0.05
MAX_LINE = 1_000_000
"""Bytes without a line end after which a server is not believed any more."""
RUNAWAY = 1.5
"""A server that streams this many times the pieces it was allowed does not stop by itself."""
MALFORMED = (400, 413, 422)
"""Statuses that speak about the request, not about the server's health."""


@dataclass(slots=True)
class Usage:
    """Filled in while a completion streams. Counts are the server's, else the pieces it sent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    first_token_s: float | None = None
    cut: bool = False
    """The reply ended because it reached the allowed length."""
    pieces: int = 0


@dataclass(slots=True)
class Breaker:
    """Opens after `failures` in a row and lets one request try again after `cooldown` seconds."""

    failures: int = 5
    cooldown: float = 10.0
    _failed: int = 0
    _open_until: float = 0.0

    def check(self) -> None:
        if self._failed < self.failures:
            return
        wait = self._open_until - time.monotonic()
        if wait > 0:
            raise Overloaded("The model server keeps failing; it is left alone a while.", wait)
        self._open_until = time.monotonic() + self.cooldown  # one probe, the others wait

    def record(self, ok: bool) -> None:
        self._failed = 0 if ok else self._failed + 1
        if self._failed >= self.failures:
            self._open_until = time.monotonic() + self.cooldown


@dataclass(slots=True)
class RetryBudget:
    """Retries may be `share` of all requests: a server in trouble is not asked twice as often."""

    share: float = 0.1
    most: float = 10.0
    _left: float = 10.0

    def earn(self) -> None:
        self._left = min(self.most, self._left + self.share)

    def spend(self) -> bool:
        if self._left < 1:
            return False
        self._left -= 1
        return True


@dataclass(slots=True)
class ModelServer:
    """One server: what its models share, namely connections, breaker and retry budget."""

    base_url: str
    api_key: str = ""
    connections: int = 64
    breaker: Breaker = field(default_factory=Breaker)
    budget: RetryBudget = field(default_factory=RetryBudget)
    grammar_refused: bool = False
    """Learnt: it answers 400 to a grammar, and streams without one."""
    _clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = field(
        default_factory=WeakKeyDictionary
    )

    def http(self) -> httpx.AsyncClient:
        """Connections belong to the event loop they were opened on."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            key = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
            limits = httpx.Limits(max_connections=self.connections, keepalive_expiry=30.0)
            timeout = httpx.Timeout(None, connect=CONNECT_S, pool=1.0)
            # A proxy of the environment has no business between us and our model server.
            client = httpx.AsyncClient(headers=key, limits=limits, timeout=timeout, trust_env=False)
            self._clients[loop] = client
        return client

    async def aclose(self) -> None:
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()


class _Refused(UpstreamError):
    """The server says that the request itself is wrong: trying again cannot help."""


class _TooSlow(UpstreamError):
    """Time is what we lack: the same server is not asked again."""


class _Limits(NamedTuple):
    """Moments of `time.monotonic`: for the whole completion, and for its first token."""

    deadline: float
    first: float


@dataclass(frozen=True, slots=True)
class ChatModel:
    """One model (or adapter) of a server.

    `first_token_s` bounds the wait for the first token, `gap_s` the silence between two; `retries`
    are further attempts before the first token, within the deadline and the server's budget.
    """

    server: ModelServer
    model: str
    first_token_s: float = 5.0
    gap_s: float = 5.0
    retries: int = 1

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float,
        usage: Usage,
        first_by: float | None = None,
        max_tokens: int = 512,
        grammar: str | None = None,
        cache_salt: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """The completion in pieces. `deadline` is on the clock of `time.monotonic`; so is
        `first_by`, the latest moment for a first token, where somebody else could still be asked.

        Raises UpstreamError (or Overloaded while the breaker is open); nothing else.
        """
        body = self._body(messages, max_tokens, cache_salt)
        limits = _Limits(deadline, min(deadline, first_by or deadline))
        if grammar is not None and not self.server.grammar_refused:
            body["structured_outputs"] = {"grammar": grammar}
        self.server.budget.earn()
        retries = self.retries
        while True:
            self.server.breaker.check()
            try:
                async with aclosing(self._attempt(body, limits, usage)) as pieces:
                    async for piece in pieces:
                        yield piece
            except _Refused:
                if body.pop("structured_outputs", None) is None:
                    raise
                async with aclosing(self._without_grammar(body, limits, usage)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except UpstreamError as error:
                self.server.breaker.record(ok=False)
                again = usage.pieces == 0 and retries > 0 and not isinstance(error, _TooSlow)
                pause = time.monotonic() + RETRY_PAUSE_S
                if not again or pause >= limits.first or not self.server.budget.spend():
                    raise
                retries -= 1
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                self.server.breaker.record(ok=True)
                return

    async def _without_grammar(
        self, body: dict[str, Any], limits: _Limits, usage: Usage
    ) -> AsyncGenerator[str, None]:
        async with aclosing(self._attempt(body, limits, usage)) as pieces:
            async for piece in pieces:
                self.server.grammar_refused = True
                yield piece

    def _body(
        self, messages: Sequence[Message], max_tokens: int, cache_salt: str | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        if cache_salt is not None:
            body["cache_salt"] = cache_salt
        return body

    async def _attempt(
        self, body: dict[str, Any], limits: _Limits, usage: Usage
    ) -> AsyncGenerator[str, None]:
        started = time.monotonic()
        lines = _Lines(body["max_tokens"] * RUNAWAY, usage)
        http, url = self.server.http(), f"{self.server.base_url}/v1/chat/completions"
        try:
            request = http.build_request("POST", url, content=orjson.dumps(body), headers=_JSON)
            by = min(limits.first, started + self.first_token_s)
            async with asyncio.timeout(_left(by)):
                response = await http.send(request, stream=True)
            async with aclosing(response):
                async with asyncio.timeout(_left(by)):
                    await _check(response)
                chunks = response.aiter_bytes()
                while not lines.done:
                    async with asyncio.timeout(_left(by)):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    if piece := lines.read(chunk):
                        if usage.first_token_s is None:
                            usage.first_token_s = time.monotonic() - started
                        yield piece
                    if usage.pieces:
                        by = min(limits.deadline, time.monotonic() + self.gap_s)
        except TimeoutError as error:
            raise _TooSlow("The model server is too slow.") from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            raise UpstreamError(f"The model server failed: {type(error).__name__}.") from error
        if not lines.finished:
            raise UpstreamError("The model server broke off its reply.")


_JSON = {"content-type": "application/json", "accept": "text/event-stream"}


class _Lines:
    """Server-sent events of one completion, read from bytes cut anywhere."""

    def __init__(self, most: float, usage: Usage) -> None:
        self.finished = False
        """The server said that the reply is complete."""
        self.done = False
        self._most = most
        self._usage = usage
        self._buffer = b""

    def read(self, chunk: bytes) -> str:
        """What the events in `chunk` add to the reply. Raises UpstreamError on nonsense."""
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        if len(self._buffer) > MAX_LINE:
            raise UpstreamError("The model server sends no lines.")
        try:
            text = "".join([self._event(line[5:].strip()) for line in lines if line[:5] == _DATA])
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise UpstreamError("The model server sent what is no completion.") from error
        if self._usage.pieces > self._most:
            raise UpstreamError("The model server does not stop.")
        return text

    def _event(self, data: bytes) -> str:
        if data == b"[DONE]":
            self.finished = self.done = True
            return ""
        event = orjson.loads(data)
        if "error" in event:
            raise UpstreamError("The model server reported an error in its stream.")
        if counts := event.get("usage"):
            self._count(counts)
        if not event["choices"]:
            return ""
        choice = event["choices"][0]
        if reason := choice.get("finish_reason"):
            self.finished = True
            self._usage.cut = reason == "length"
        piece = choice["delta"].get("content") or ""
        if not isinstance(piece, str):
            raise TypeError(piece)
        self._usage.pieces += bool(piece)
        return piece

    def _count(self, counts: dict[str, Any]) -> None:
        self._usage.prompt_tokens = int(counts.get("prompt_tokens") or 0)
        self._usage.completion_tokens = int(counts.get("completion_tokens") or 0)
        details = counts.get("prompt_tokens_details") or {}
        self._usage.cached_tokens = int(details.get("cached_tokens") or 0)


_DATA = b"data:"


async def _check(response: httpx.Response) -> None:
    status = response.status_code
    if status != 200:
        # Read, so that the connection can be used again; never shown: it may quote the prompt.
        with suppress(httpx.HTTPError):
            await response.aread()
        kind = _Refused if status in MALFORMED else UpstreamError
        raise kind(f"The model server answered status {status}.")
    if "text/event-stream" not in response.headers.get("content-type", ""):
        raise UpstreamError("The model server does not stream.")


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())
