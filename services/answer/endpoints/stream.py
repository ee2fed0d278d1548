"""Answer events as server-sent events: plain bytes, and no work once the reader has left."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.answer.endpoints.problems import encode, problem_of
from services.answer.events import Acted, Cited, Delta, Done, Event, Meta
from services.answer.schemas import ChatAnswer, EscalationOut, citations_out

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"

T = TypeVar("T")


class EventStream(StreamingResponse):
    """Frames as they come, a comment whenever there is none for `heartbeat` seconds.

    Closes its source whatever ends it: the last frame, an error, a reader who left. Until there is
    a first frame no status is sent, so that what fails before it gets its own.
    """

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes, None], heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, headers=headers)
        self._frames = frames
        self._heartbeat = heartbeat
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await while_connected(receive, self._tell(send))

    async def _tell(self, send: Send) -> None:
        beating: asyncio.Task[None] | None = None
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    self._last = time.monotonic()
                    if beating is None:
                        await send(head)
                        beating = asyncio.create_task(self._beat(send))
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
        finally:
            if beating is not None:
                beating.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _beat(self, send: Send) -> None:
        while True:
            wait = self._last + self._heartbeat - time.monotonic()
            if wait <= 0:
                self._last = time.monotonic()
                await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
            else:
                await asyncio.sleep(wait)


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The work's result, or None once the caller has left: then the work is cancelled."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def frames(first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    """The events, numbered; what goes wrong behind the first is told as the last."""
    if not isinstance(first, Meta):
        raise TypeError("an answer begins with Meta")
    number = 0
    # The model is asked before its customer hears that an answer begins: it takes longer.
    next_one = asyncio.ensure_future(anext(rest, None))
    try:
        await asyncio.sleep(0)
        yield frame(first, f"{first.answer_id}:0")
        event = await next_one
        while event is not None:
            number += 1
            yield frame(event, f"{first.answer_id}:{number}")
            event = await anext(rest, None)
    except Exception as error:
        yield frame(error, f"{first.answer_id}:{number + 1}")
    finally:
        next_one.cancel()
        await asyncio.gather(next_one, return_exceptions=True)
        await rest.aclose()


def frame(event: Event | Exception, id: str) -> bytes:
    if isinstance(event, Exception):
        return b"event: error\nid: %b\ndata: %b\n\n" % (id.encode(), encode(problem_of(event)))
    name, data = _KINDS[type(event)]
    return frame_of(name, data(event), id)


def frame_of(name: bytes, data: Mapping[str, Any], id: str) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name, id.encode(), orjson.dumps(data))


def _acted(event: Acted) -> dict[str, Any]:
    escalation = EscalationOut.of(event.escalation)
    return {
        "action": event.action,
        "escalation": escalation.model_dump() if escalation else None,
        "served_by": event.served_by,
    }


def _cited(event: Cited) -> dict[str, Any]:
    return {"citations": [each.model_dump() for each in citations_out(event.citations)]}


_KINDS: dict[type, tuple[bytes, Callable[[Any], dict[str, Any]]]] = {
    Meta: (
        b"meta",
        lambda event: {
            "answer_id": event.answer_id,
            "conversation_id": event.conversation_id,
        },
    ),
    Acted: (b"action", _acted),
    Delta: (b"delta", lambda event: {"text": event.text}),
    Cited: (b"citations", _cited),
    Done: (b"done", lambda event: ChatAnswer.of(event.answer).model_dump()),
}
