"""The answer service, as the widget asks it: over HTTP, and nothing else."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import httpx
import orjson
import structlog

from twofold import tracing
from twofold.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    Overloaded,
    TooLarge,
    TwofoldError,
    Unavailable,
    UpstreamError,
)

SILENT_S: Final = 30.0
"""A stream says something at least every ten seconds, if only that it is there."""
CONNECT_S: Final = 5.0
MOST_CONNECTIONS: Final = 2000
LARGEST_FRAME: Final = 1_000_000
MOST_DIGITS: Final = 10
"""A longer number is no event's."""
DOWN: Final = "The answer service does not answer. Try again in a moment."

_log = structlog.get_logger("twofold.widget")


class Frame(NamedTuple):
    """One server-sent event; `data` is JSON as it came."""

    event: str
    id: str
    data: bytes

    @property
    def number(self) -> int:
        """Its place among the events of its answer, -1 where it has none."""
        number = self.id.rpartition(":")[2]
        known = number.isascii() and number.isdigit() and len(number) < MOST_DIGITS
        return int(number) if known else -1

    def json(self) -> Any:
        return orjson.loads(self.data)


def open_http(url: str, key: str, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Returns a client of the answer service at `url`, or of the one in this process by
    `transport`."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=httpx.Timeout(SILENT_S, connect=CONNECT_S),
        limits=httpx.Limits(max_connections=MOST_CONNECTIONS, max_keepalive_connections=50),
        transport=transport,
        trust_env=False,
        event_hooks={"request": [_go_on_with_the_trace]},
    )


async def _go_on_with_the_trace(request: httpx.Request) -> None:
    request.headers.update(tracing.carried())


class AnswerService:
    """What the widget needs of it. Every method raises a TwofoldError where it fails."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, body: Mapping[str, Any], key: str) -> AsyncGenerator[Frame, None]:
        """Yields the events of an answer, from its first; the same key again is the same answer."""
        headers = {"Idempotency-Key": key}
        sent = self._http.build_request(
            "POST", "/v1/chat", json={**body, "stream": True}, headers=headers
        )
        async with self._answering(sent) as response:
            async for frame in read_frames(response.aiter_raw()):
                yield frame

    async def ask_again(self, answer_id: str) -> AsyncGenerator[Frame, None]:
        """Yields the events of an answer that has begun, from its first."""
        sent = self._http.build_request("GET", f"/v1/answers/{_part(answer_id)}/events")
        async with self._answering(sent) as response:
            async for frame in read_frames(response.aiter_raw()):
                yield frame

    async def stop(self, answer_id: str) -> None:
        """Ends an answer where it is: what was said is what is kept."""
        await self._call("POST", f"/v1/answers/{_part(answer_id)}/stop")

    async def conversation(self, id: str, customer: str | None) -> dict[str, Any]:
        named = {"customer": customer} if customer is not None else {}
        return await self._call("GET", f"/v1/conversations/{_part(id)}", params=named)

    async def forget(self, conversation_id: str) -> None:
        await self._call("DELETE", f"/v1/conversations/{_part(conversation_id)}")

    async def rate(self, answer_id: str, rating: str, comment: str) -> None:
        body = {"answer_id": answer_id, "rating": rating, "comment": comment}
        await self._call("POST", "/v1/feedback", json=body)

    async def ask_for_person(self, body: Mapping[str, Any], key: str) -> dict[str, Any]:
        """Returns the hand-off of a conversation: a new one, or the one that was asked for
        before."""
        headers = {"Idempotency-Key": key}
        return await self._call("POST", "/v1/handoffs", json=dict(body), headers=headers)

    async def handoffs(self, limit: int, since: float = 0.0) -> list[dict[str, Any]]:
        params = {"limit": limit, "since": since}
        found = await self._call("GET", "/v1/handoffs", params=params)
        return list(found["handoffs"])

    async def handoff(self, id: str) -> dict[str, Any]:
        return await self._call("GET", f"/v1/handoffs/{_part(id)}")

    async def keep_reply(self, handoff_id: str, body: Mapping[str, Any]) -> None:
        await self._call("POST", f"/v1/handoffs/{_part(handoff_id)}/reply", json=dict(body))

    async def close_handoff(self, id: str) -> dict[str, Any]:
        return await self._call("POST", f"/v1/handoffs/{_part(id)}/close")

    async def version(self, document: str, number: int, audiences: list[str]) -> dict[str, Any]:
        """Returns what a version of a document said, if these audiences may read it."""
        source, _, external = document.partition("/")
        path = f"/v1/documents/{_part(source)}/{quote(external, safe='/')}/versions/{number}"
        return await self._call("GET", path, params={"audience": ["public", *audiences]})

    async def _call(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        async with self._answering(self._http.build_request(method, path, **more)) as response:
            content = await response.aread()
        return orjson.loads(content) if content else {}

    @asynccontextmanager
    async def _answering(self, sent: httpx.Request) -> AsyncIterator[httpx.Response]:
        try:
            response = await self._http.send(sent, stream=True)
            try:
                if not response.is_success:
                    raise _error(response, await response.aread())
                yield response
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            _log.warning("the answer service failed", error=type(error).__name__)
            raise Unavailable(DOWN) from error


async def read_frames(chunks: AsyncIterator[bytes]) -> AsyncGenerator[Frame, None]:
    """Yields server-sent events out of bytes that may be cut anywhere; comments are left out.
    Raises UpstreamError for one that is larger than any of ours."""
    rest = b""
    async for chunk in chunks:
        rest += chunk
        *blocks, rest = rest.split(b"\n\n")
        for block in blocks:
            if (frame := _frame(block)) is not None:
                yield frame
        if len(rest) > LARGEST_FRAME:
            raise UpstreamError("The answer service sent an event without an end.")


def _frame(block: bytes) -> Frame | None:
    fields = {
        name: value.removeprefix(b" ")
        for name, colon, value in (line.partition(b":") for line in block.split(b"\n"))
        if name and colon
    }
    if b"data" not in fields:
        return None
    event, id = fields.get(b"event", b"message"), fields.get(b"id", b"")
    return Frame(event.decode(), id.decode(), fields[b"data"])


def _error(response: httpx.Response, content: bytes) -> TwofoldError:
    """Returns the answer service's refusal, as ours to the visitor."""
    try:
        detail = str(orjson.loads(content)["detail"])
    except (ValueError, KeyError, TypeError):
        detail = ""
    status = response.status_code
    if status in (401, 403):
        _log.error("the answer service refuses the widget's key", status=status, detail=detail)
        return UpstreamError("The answer service does not know this widget. Tell its operator.")
    wait = response.headers.get("retry-after", "")
    seconds = float(wait) if wait.isascii() and wait.isdigit() else 1.0
    if status == 429:
        return Overloaded(detail or DOWN, seconds)
    if status == 503:
        return Unavailable(detail or DOWN, seconds)
    kinds = {404: NotFound, 409: Conflict, 413: TooLarge, 422: InvalidInput}
    kind = kinds.get(status)
    return kind(detail) if kind and detail else UpstreamError(DOWN)


def _part(text: str) -> str:
    return quote(text, safe="")
