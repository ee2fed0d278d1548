"""Chat models behind an OpenAI-compatible server (vLLM): streamed, with deadline, retry, breaker.

No retry after the first token: a half-told answer is never told twice.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from twofold import genai, tracing
from twofold.clients.wire import Connection, Origin
from twofold.errors import Overloaded, UpstreamError
from twofold.prompt import Message

CONNECT_S = 2.0
RETRY_PAUSE_S = 0.05
MAX_LINE = 1_000_000
"""Bytes without a line end after which a server is not believed any more."""
MAX_WAITING = 64_000
"""Characters that may wait for a slow reader; then the server is not read from for a while."""
RUNAWAY = 1.5
"""A server that streams this many times the pieces it was allowed does not stop by itself."""
MALFORMED = (400, 413, 422)
"""Statuses that speak about the request, not about the server's health."""


@dataclass(slots=True)
class Usage:
    """Token counts, filled in while a completion streams: the server's, else the number of
    pieces it sent."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None
    """Of the prompt, read from the prefix cache; None where the server does not say."""
    first_token_s: float | None = None
    cut: bool = False
    """The reply ended because it reached the allowed length."""
    pieces: int = 0

    @property
    def written(self) -> int:
        """Tokens of the reply, as the server or, where it does not say, as its pieces tell."""
        return self.completion_tokens or self.pieces


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
    """Limits retries to `share` of all requests: a server in trouble is not asked twice as
    often."""

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


def server_root(url: str) -> str:
    """Returns the address without the `/v1` that some callers' tools want in it."""
    return url.rstrip("/").removesuffix("/v1")


@dataclass(slots=True)
class ModelServer:
    """One server: what its models share, namely connections, breaker and retry budget."""

    base_url: str
    api_key: str = ""
    breaker: Breaker = field(default_factory=Breaker)
    budget: RetryBudget = field(default_factory=RetryBudget)
    grammar_refused: bool = False
    """Learnt: it answers 400 to a grammar, and streams without one."""
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        self.origin = Origin(self.base_url, self.api_key)

    async def aclose(self) -> None:
        await self.origin.aclose()


class _Refused(UpstreamError):
    """Raised where the server says that the request itself is wrong: trying again cannot help."""


class _Unknown(UpstreamError):
    """Raised where the server has no such model: it is well, and asking it again changes
    nothing."""


class _TooSlow(UpstreamError):
    """Raised where the time is up: asking the same server again cannot help."""


class _Limits(NamedTuple):
    """Moments of `time.monotonic`: for the whole completion, and for its first token."""

    deadline: float
    first: float


Worth = Callable[[str], bool]
"""Whether a piece that has just arrived is worth waking up for. Must be quick."""


def _always(_piece: str) -> bool:
    return True


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
        worth: Worth = _always,
    ) -> AsyncGenerator[str, None]:
        """Yields the completion in pieces. Raises UpstreamError (or Overloaded while the breaker is
        open), nothing else.

        `deadline` is on the clock of `time.monotonic`; so is `first_by`, the latest moment for a
        first token, where somebody else could still be asked. Pieces that are not `worth` it are
        handed on with the next one that is, or at the end.
        """
        body = self._body(messages, max_tokens, cache_salt)
        limits = _Limits(deadline, min(deadline, first_by or deadline))
        if grammar is not None and not self.server.grammar_refused:
            body["structured_outputs"] = {"grammar": grammar}
        self.server.budget.earn()
        retries, unsure = self.retries, False
        while True:
            if not unsure:
                self.server.breaker.check()
            try:
                async with aclosing(self._attempt(body, limits, usage, worth)) as pieces:
                    async for piece in pieces:
                        self.server.grammar_refused |= unsure
                        yield piece
            except _Refused:
                # Perhaps only of the grammar: asked once more without, and if that is refused too,
                # the request is at fault and the server's health is not.
                if body.pop("structured_outputs", None) is None:
                    raise
                unsure = True
            except _Unknown:
                # Also closes the breaker where this was its one probe.
                self.server.breaker.record(ok=True)
                raise
            except UpstreamError as error:
                self.server.breaker.record(ok=False)
                slow = isinstance(error, _TooSlow)
                again = usage.pieces == 0 and retries > 0 and not slow and not unsure
                pause = time.monotonic() + RETRY_PAUSE_S
                if not again or pause >= limits.first or not self.server.budget.spend():
                    raise
                retries -= 1
                await asyncio.sleep(RETRY_PAUSE_S)
            else:
                self.server.breaker.record(ok=True)
                return

    def _body(
        self, messages: Sequence[Message], max_tokens: int, cache_salt: str | None
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            # Asks for counts with every piece: so the cost of a reply that we end early is known.
            "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        if cache_salt is not None:
            body["cache_salt"] = cache_salt
        return body

    async def _attempt(
        self, body: dict[str, Any], limits: _Limits, usage: Usage, worth: Worth
    ) -> AsyncGenerator[str, None]:
        first = min(limits.first, time.monotonic() + self.first_token_s)
        events = _Events(body["max_tokens"] * RUNAWAY, usage)
        hearing = _Hearing(events, limits._replace(first=first), self.gap_s, worth)
        with genai.chat(self.model, self.server.base_url, body["max_tokens"], usage) as span:
            connection = await self._connect(first)
            try:
                path = "/v1/chat/completions"
                head = self.server.origin.head(path, tracing.carried(span))
                hearing.begin(connection)
                connection.post(head, orjson.dumps(body), hearing)
                while piece := await hearing.next():
                    yield piece
            finally:
                hearing.timer.cancel()
                connection.let_go(heard_out=events.finished)
            if not events.finished:
                raise UpstreamError("The model server broke off its reply.")

    async def _connect(self, by: float) -> Connection:
        within = by - time.monotonic()
        try:
            async with asyncio.timeout(max(0.0, min(within, CONNECT_S))):
                return await self.server.origin.connect()
        except TimeoutError as error:
            slow = _TooSlow if within <= CONNECT_S else UpstreamError
            raise slow("The model server is too slow.") from error
        except (OSError, ValueError) as error:
            raise UpstreamError(f"The model server failed: {type(error).__name__}.") from error


class _Hearing:
    """Receives a completion packet by packet, and wakes its reader only when a piece is worth it.

    One timer, moved lazily, bounds the silence between packets.
    """

    timer: asyncio.TimerHandle

    def __init__(self, events: "_Events", limits: _Limits, gap_s: float, worth: Worth) -> None:
        self._events = events
        self._limits = limits
        self._gap_s = gap_s
        self._worth = worth
        self._pieces: list[str] = []
        self._size = 0
        self._ready = self._over = self._paused = False
        self._error: UpstreamError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def begin(self, connection: Connection) -> None:
        self._connection = connection
        self._started = self._last = time.monotonic()
        self._arm()

    async def next(self) -> str:
        """Returns the pieces that have arrived, once they are worth it; "" at the end. Raises
        UpstreamError."""
        while not (self._ready or self._over):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            self._ready, self._size = False, 0
            if self._paused:
                self._paused, self._last = False, time.monotonic()
                self._connection.resume()
            return text
        if self._error is not None:
            raise self._error
        return ""

    def opened(self, status: int, kind: str) -> None:
        if status in MALFORMED:
            self._end(_Refused(f"The model server answered status {status}."))
        elif status == 404:
            self._end(_Unknown("The model server does not know the model."))
        elif status != 200:
            self._end(UpstreamError(f"The model server answered status {status}."))
        elif "text/event-stream" not in kind:
            self._end(UpstreamError("The model server does not stream."))

    def heard(self, data: bytes) -> None:
        if self._over:
            return
        self._last = time.monotonic()
        usage = self._events.usage
        try:
            for piece in self._events.read(data):
                if usage.first_token_s is None:
                    usage.first_token_s = self._last - self._started
                self._pieces.append(piece)
                self._size += len(piece)
                self._ready = self._worth(piece) or self._ready
        except UpstreamError as error:
            self._end(error)
            return
        if self._size > MAX_WAITING and not self._paused:
            self._ready = self._paused = True
            self._connection.pause()
        if self._events.done:
            self._end(None)
        elif self._ready:
            self._wake()

    def ended(self, error: str) -> None:
        broken = error and not self._events.finished
        self._end(UpstreamError(f"The model server failed: {error}.") if broken else None)

    def _end(self, error: UpstreamError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _arm(self) -> None:
        wait = self._due() - time.monotonic()
        if wait <= 0:
            self._end(_TooSlow("The model server is too slow."))
        self.timer = asyncio.get_running_loop().call_later(max(0.0, wait), self._arm)

    def _due(self) -> float:
        if not self._events.usage.pieces:
            return self._limits.first
        last = time.monotonic() if self._paused else self._last  # then the silence is ours
        return min(self._limits.deadline, last + self._gap_s)


class _Events:
    """Server-sent events of one completion, read from bytes cut anywhere."""

    def __init__(self, most: float, usage: Usage) -> None:
        self.finished = False
        """The server said that the reply is complete."""
        self.done = False
        self.usage = usage
        self._most = most
        self._buffer = b""

    def read(self, data: bytes) -> Iterator[str]:
        """Yields what the events in `data` add to the reply. Raises UpstreamError on nonsense."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_LINE:
            raise UpstreamError("The model server sends no lines.")
        for line in lines:
            if line[:5] == b"data:":
                try:
                    piece = self._event(line[5:].strip())
                except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                    raise UpstreamError("The model server sent what is no completion.") from error
                if piece:
                    yield piece
        if self.usage.pieces > self._most:
            raise UpstreamError("The model server does not stop.")

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
            self.usage.cut = reason == "length"
        piece = choice["delta"].get("content") or ""
        if not isinstance(piece, str):
            raise TypeError(piece)
        self.usage.pieces += bool(piece)
        return piece

    def _count(self, counts: dict[str, Any]) -> None:
        self.usage.prompt_tokens = int(counts.get("prompt_tokens") or 0)
        self.usage.completion_tokens = int(counts.get("completion_tokens") or 0)
        if details := counts.get("prompt_tokens_details"):
            self.usage.cached_tokens = int(details.get("cached_tokens") or 0)
