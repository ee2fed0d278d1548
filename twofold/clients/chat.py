"""A chat model behind an OpenAI-compatible server (vLLM): streamed, with deadline, retry, breaker.

No retry after the first token: a half-told answer is never told twice.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from twofold.errors import Overloaded, UpstreamError
from twofold.prompt import Message


@dataclass(slots=True)
class Usage:
    """Filled in while a completion streams; token counts are the server's, 0 when it sends none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    first_token_s: float | None = None


@dataclass(slots=True)
class Breaker:
    """Opens after `failures` in a row and lets one request try again after `cooldown` seconds."""

    failures: int = 5
    cooldown: float = 10.0
    _failed: int = 0
    _open_until: float = 0.0

    def check(self) -> None:
        wait = self._open_until - time.monotonic()
        if self._failed >= self.failures and wait > 0:
            raise Overloaded("The model server keeps failing; it is left alone a while.", wait)
        if self._failed >= self.failures:
            self._open_until = time.monotonic() + self.cooldown  # one probe, the others wait

    def record(self, ok: bool) -> None:
        self._failed = 0 if ok else self._failed + 1
        if self._failed >= self.failures:
            self._open_until = time.monotonic() + self.cooldown


@dataclass(slots=True)
class ChatModel:
    """One model (or adapter) of one server. `http` is shared, and closed by whoever made it.

    `first_token_s` bounds the wait for the first token, `gap_s` the silence between two; `retries`
    are further attempts before the first token, each within the deadline.
    """

    http: httpx.AsyncClient
    base_url: str
    model: str
    api_key: str = ""
    first_token_s: float = 10.0
    gap_s: float = 5.0
    retries: int = 1
    breaker: Breaker = field(default_factory=Breaker)

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        deadline: float,
        usage: Usage,
        max_tokens: int = 512,
        grammar: str | None = None,
        cache_salt: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """The completion in pieces. `deadline` is on the clock of `time.monotonic`.

        Raises UpstreamError (or Overloaded while the breaker is open); nothing else.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": 0,
            "max_tokens": max_tokens,
        }
        if grammar is not None:
            body["structured_outputs"] = {"grammar": grammar}
        if cache_salt is not None:
            body["cache_salt"] = cache_salt
        for attempt in range(self.retries + 1):
            self.breaker.check()
            told = False
            try:
                async with aclosing(self._attempt(body, deadline, usage)) as pieces:
                    async for piece in pieces:
                        told = True
                        yield piece
            except (UpstreamError, TimeoutError) as error:
                self.breaker.record(ok=False)
                late = time.monotonic() >= deadline
                if told or late or attempt == self.retries or _final(error):
                    if isinstance(error, UpstreamError):
                        raise
                    raise UpstreamError(f"The model server {self.base_url} is too slow.") from error
            else:
                self.breaker.record(ok=True)
                return

    async def _attempt(
        self, body: dict[str, Any], deadline: float, usage: Usage
    ) -> AsyncGenerator[str, None]:
        started = time.monotonic()
        headers = {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        finished = False
        buffer = b""
        try:
            request = self.http.build_request(
                "POST", f"{self.base_url}/v1/chat/completions", json=body, headers=headers,
                timeout=httpx.Timeout(None, connect=2.0, pool=1.0),
            )  # fmt: skip
            async with asyncio.timeout(_left(deadline, self.first_token_s)):
                response = await self.http.send(request, stream=True)
            async with aclosing(response):
                await _check(response, self.base_url)
                chunks = response.aiter_bytes()
                while True:
                    wait = self.gap_s if usage.first_token_s is not None else self.first_token_s
                    async with asyncio.timeout(_left(deadline, wait)):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        break
                    *lines, buffer = (buffer + chunk).split(b"\n")
                    for line in lines:
                        if not line.startswith(b"data:"):
                            continue
                        data = line[5:].strip()
                        if data == b"[DONE]":
                            finished = True
                            continue
                        piece, ended = _piece(data, usage)
                        finished = finished or ended
                        if piece:
                            if usage.first_token_s is None:
                                usage.first_token_s = time.monotonic() - started
                            yield piece
                    if len(buffer) > 1_000_000:
                        raise UpstreamError(f"The model server {self.base_url} sends no lines.")
        except (httpx.HTTPError, orjson.JSONDecodeError, KeyError, TypeError, IndexError) as error:
            raise UpstreamError(
                f"The model server {self.base_url} failed: {type(error).__name__}."
            ) from error
        if not finished:
            raise UpstreamError(f"The model server {self.base_url} broke off its reply.")


class _Refused(UpstreamError):
    """The server answered that the request itself is wrong: trying again cannot help."""


def _final(error: Exception) -> bool:
    return isinstance(error, _Refused)


async def _check(response: httpx.Response, base_url: str) -> None:
    if response.status_code != 200:
        body = (await response.aread())[:200]
        kind = _Refused if 400 <= response.status_code < 500 else UpstreamError
        if response.status_code in (408, 425, 429):
            kind = UpstreamError
        raise kind(f"The model server {base_url} answered {response.status_code}: {body!r}")
    if "text/event-stream" not in response.headers.get("content-type", ""):
        raise _Refused(f"The model server {base_url} does not stream.")


def _piece(data: bytes, usage: Usage) -> tuple[str, bool]:
    event = orjson.loads(data)
    if "error" in event:
        raise UpstreamError("The model server reported an error in its stream.")
    if counts := event.get("usage"):
        usage.prompt_tokens = counts.get("prompt_tokens") or 0
        usage.completion_tokens = counts.get("completion_tokens") or 0
        details = counts.get("prompt_tokens_details") or {}
        usage.cached_tokens = details.get("cached_tokens") or 0
    if not event["choices"]:
        return "", False
    choice = event["choices"][0]
    return choice["delta"].get("content") or "", choice.get("finish_reason") is not None


def _left(deadline: float, at_most: float) -> float:
    return max(0.0, min(deadline - time.monotonic(), at_most))
