"""Answer events as server-sent events: plain bytes, and no work once the reader has left."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Send

from services.answer.endpoints.problems import encode, problem_of
from services.answer.events import Acted, Cited, Delta, Done, Event, Meta
from services.answer.schemas import ChatAnswer, EscalationOut, citations_out

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"
BACKLOG = 64
"""Events a slow reader may lag behind before the answer waits for it."""

_END = object()


class EventStream(StreamingResponse):
    """Closes its source whatever ends it: the last event, an error, a reader who left."""

    media_type = "text/event-stream"

    def __init__(self, frames: AsyncGenerator[bytes, None]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, headers=headers)
        self._frames = frames

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._frames):
            await super().stream_response(send)


async def frames(
    first: Event, rest: AsyncIterator[Event], heartbeat: float = HEARTBEAT_SECONDS
) -> AsyncGenerator[bytes, None]:
    """The events, numbered; a comment whenever a step takes longer than `heartbeat` seconds.

    What makes the events runs in a task of its own, so that waiting for it can be interrupted by a
    heartbeat without interrupting it. Leaving this generator cancels it.
    """
    if not isinstance(first, Meta):
        raise TypeError("an answer begins with Meta")
    queue: asyncio.Queue[Any] = asyncio.Queue(BACKLOG)
    source = asyncio.create_task(_drain(rest, queue))
    number = 0
    try:
        yield frame(first, f"{first.answer_id}:0")
        while True:
            try:
                async with asyncio.timeout(heartbeat):
                    event = await queue.get()
            except TimeoutError:
                yield HEARTBEAT
                continue
            if event is _END:
                return
            number += 1
            yield frame(event, f"{first.answer_id}:{number}")
    finally:
        source.cancel()


async def _drain(events: AsyncIterator[Event], queue: asyncio.Queue[Any]) -> None:
    try:
        async for event in events:
            await queue.put(event)
    except Exception as error:
        await queue.put(error)
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()
    await queue.put(_END)


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
