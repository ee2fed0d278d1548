"""A web of the test's own making, below httpx: what it serves, and what was asked of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import orjson

from ingestion.sources.addresses import Rules
from ingestion.sources.base import Source
from ingestion.sources.fetcher import FetchLimits
from ingestion.sources.web import Web

QUICK = FetchLimits(attempts=3, first_wait=0.001, longest_wait=30.0, pace=0.0)
Answer = Callable[[httpx.Request], httpx.Response]


class _Chunks(httpx.SyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    def __iter__(self) -> Any:
        yield self._body


def reply(
    body: bytes | str | Any = b"", status: int = 200, **headers: str
) -> Callable[[httpx.Request], httpx.Response]:
    """An answer that is read as from a socket; anything but text and bytes becomes JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if isinstance(body, str):
        body = body.encode()
    if not isinstance(body, bytes):
        body = orjson.dumps(body)
        named.setdefault("content-type", "application/json")

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=named, stream=_Chunks(body))

    return answer


def html(body: str, **headers: str) -> Answer:
    return reply(body, **{"content-type": "text/html; charset=utf-8", **headers})


def in_turn(*answers: Answer) -> Answer:
    """The first for the first request, and so on; the last for all that follow."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return answer


def validated(body: str, etag: str, **headers: str) -> Answer:
    """Answers 304 to whoever holds it already."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers.get("if-none-match") == etag:
            return reply(status=304, etag=etag)(request)
        return html(body, etag=etag, **headers)(request)

    return answer


class Net(httpx.BaseTransport):
    """URL -> answer. What is not there is a 404; `asked` keeps every request."""

    def __init__(self, pages: Mapping[str, Answer] | None = None) -> None:
        self.pages: dict[str, Answer] = dict(pages or {})
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.pages.get(str(request.url), reply(status=404))
        response = answer(request)
        response.request = request
        return response

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.asked]

    def web(self, state: Path | None = None, **limits: Any) -> Web:
        return Web(Rules(), QUICK._replace(**limits), state, self)


def texts(source: Source) -> dict[str, str]:
    return {item.external_id: item.fetch().raw.decode() for item in source.discover()}


def metas(source: Source) -> dict[str, Mapping[str, Any]]:
    return {item.external_id: item.fetch().meta for item in source.discover()}
