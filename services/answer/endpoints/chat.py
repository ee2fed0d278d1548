"""POST /v1/chat: ask a question, and get the answer whole or as it is written."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.answer import pipeline
from services.answer.endpoints.deps import PartsDep
from services.answer.endpoints.problems import declare
from services.answer.endpoints.stream import EventStream, frames
from services.answer.events import Event
from services.answer.schemas import ChatAnswer, ChatRequest
from twofold import metrics
from twofold.errors import TwofoldError

CLIENT_LEFT = 499
"""nginx's status for a caller who did not wait; nobody reads it but logs."""

T = TypeVar("T")

router = APIRouter(tags=["chat"])

_STREAM = {
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'event: delta\nid: 4f1c:2\ndata: {"text":"Open **Settings**"}\n\n',
        }
    },
    "description": "The answer; with `stream: true` the events `meta`, `action`, `delta`…,"
    " `citations`, `done`, or `error` with a problem document.",
}


@router.post(
    "/v1/chat",
    response_model=ChatAnswer,
    summary="Ask a question",
    responses={200: _STREAM, **declare(404, 409, 413, 422, 429, 500, 502, 503)},
)
async def chat(body: ChatRequest, request: Request, parts: PartsDep) -> Response:
    ask = body.ask(parts.stack.settings.workspace)
    try:
        if body.stream:
            return await _stream(pipeline.answer(ask, parts))
        answered = await while_connected(request, pipeline.ask_once(ask, parts))
    except TwofoldError as error:
        metrics.ANSWER_REFUSED.labels(metrics.closed(error.slug, metrics.REFUSALS)).inc()
        raise
    if answered is None:
        return Response(status_code=CLIENT_LEFT)
    content = orjson.dumps(ChatAnswer.of(answered).model_dump())
    return Response(content, media_type="application/json")


async def _stream(events: AsyncIterator[Event]) -> Response:
    # The first event is awaited here: a question that is refused gets its status, not a stream.
    return EventStream(frames(await anext(events), events))


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """The work's result, or None once the caller has left: then the work is cancelled."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
