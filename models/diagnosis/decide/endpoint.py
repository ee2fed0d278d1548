"""Somebody's OpenAI-compatible endpoint, asked once for each prompt."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import stamina

from twofold.errors import InvalidInput, UpstreamError

MOST_BYTES = 4_000_000
"""Of one response."""
ATTEMPTS = 3
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})

Messages = Sequence[Mapping[str, str]]


class Completion(NamedTuple):
    """One output. Tokens are the endpoint's own counts; None where it gives none. `seconds` are
    those of the call that was really made, also where it is read from the cache."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    seconds: float


class Endpoint:
    """Asks a model at an address: `url` is the base that ends in `/v1`, or the whole one of chat
    completions."""

    def __init__(self, url: str, model: str, key: str, cache: Path, deadline_s: float) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInput(f"{url!r} is no address: --endpoint takes https://…/v1")
        base = url.rstrip("/").removesuffix("/chat/completions")
        self.url = f"{base}/chat/completions"
        self._model = model
        self._cache = cache
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(headers=headers, timeout=deadline_s, follow_redirects=False)
        self._deadline_s = deadline_s

    async def ask(self, messages: Messages) -> Completion:
        """Raises UpstreamError where it does not answer in time, or not with a completion."""
        body = {"model": self._model, "messages": list(messages), "temperature": 0}
        kept = self._cache / f"{_digest(self.url, body)}.json"
        if kept.is_file():
            return Completion(**json.loads(kept.read_text(encoding="utf-8")))
        said = await self._post(body)
        self._cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(said._asdict(), ensure_ascii=False), encoding="utf-8")
        part.replace(kept)
        return said

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _post(self, body: Mapping[str, Any]) -> Completion:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._deadline_s * ATTEMPTS):
                async for attempt in stamina.retry_context(on=_worth_another, attempts=ATTEMPTS):
                    with attempt:
                        started = time.perf_counter()
                        answer = await self._once(body)
        except TimeoutError:
            raise UpstreamError(
                f"{self.url} did not answer within {self._deadline_s:g} s. Raise --deadline, or"
                " lower --concurrency; what was answered is kept."
            ) from None
        except httpx.HTTPStatusError as error:
            status, said = error.response.status_code, error.response.text[:200]
            raise UpstreamError(f"{self.url} gave status {status}: {said}") from None
        except httpx.HTTPError as error:
            raise UpstreamError(f"{self.url} did not answer ({type(error).__name__}).") from None
        return _said(answer, time.perf_counter() - started, self.url)

    async def _once(self, body: Mapping[str, Any]) -> bytes:
        async with self._http.stream("POST", self.url, json=body) as response:
            whole = bytearray()
            async for piece in response.aiter_bytes():
                whole += piece
                if len(whole) > MOST_BYTES:
                    raise UpstreamError(f"{self.url} answered more than {MOST_BYTES:,} bytes.")
            if not response.is_success:
                shown = httpx.Response(
                    response.status_code, content=bytes(whole), request=response.request
                )
                raise httpx.HTTPStatusError("refused", request=response.request, response=shown)
            return bytes(whole)


def _worth_another(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in RETRIED
    return isinstance(error, httpx.TransportError)


def _digest(url: str, body: Mapping[str, Any]) -> str:
    text = json.dumps([url, body], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _said(answer: bytes, seconds: float, url: str) -> Completion:
    try:
        found = json.loads(answer)
        text = found["choices"][0]["message"]["content"] or ""
        usage = found.get("usage") or {}
        details = usage.get("prompt_tokens_details") or {}
        if not isinstance(text, str):
            raise TypeError(type(text))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise UpstreamError(f"{url} answered something that is no chat completion.") from None
    counts = (
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        details.get("cached_tokens"),
    )
    whole = [count if isinstance(count, int) else None for count in counts]
    return Completion(text, whole[0], whole[1], whole[2], seconds)
