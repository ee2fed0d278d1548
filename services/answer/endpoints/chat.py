"""POST /v1/chat: ask a question, and get the answer whole or as it is written."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from services.answer import pipeline
from services.answer.access.keys import Caller
from services.answer.endpoints.admission import CALLER
from services.answer.endpoints.direct import DirectRoute
from services.answer.endpoints.runs import ResumableAnswer, ResumableAnswers
from services.answer.endpoints.stream import frames
from services.answer.events import Event
from services.answer.pipeline import Parts
from services.answer.schemas import ChatAnswer, ChatRequest
from services.http.problems import declare
from services.http.streams import EventStream, while_connected
from twofold import metrics
from twofold.errors import TwofoldError

CLIENT_LEFT = 499
"""nginx's status for a caller who did not wait; nobody reads it but logs."""

LastEventId = Annotated[
    str | None,
    Header(description="Id of the last event that arrived: the stream goes on behind it."),
]

router = APIRouter(tags=["chat"], route_class=DirectRoute)

STREAM = {
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
    responses={200: STREAM, **declare(404, 409, 502)},
)
async def chat(
    body: ChatRequest,
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="Asked again with the same key: the same answer, for 24 h.")
    ] = None,
    last_event_id: LastEventId = None,
) -> Response:
    parts: Parts = request.app.state.parts
    runs: ResumableAnswers = request.app.state.runs
    caller: Caller = request.scope[CALLER]
    ask = body.ask(caller)
    caller.check_audiences(ask.audiences)
    with counting_refusals():
        if idempotency_key is not None:
            run = runs.join(ask, caller, idempotency_key, body.model_dump_json(exclude={"stream"}))
            if body.stream:
                return await resumed(run, last_event_id)
            return _whole(await run.finished())
        if body.stream:
            return await _stream(pipeline.answer(ask, parts))
        answered = await while_connected(request.receive, pipeline.ask_once(ask, parts))
    if answered is None:
        return Response(status_code=CLIENT_LEFT)
    return _whole(ChatAnswer.of(answered))


@contextmanager
def counting_refusals() -> Iterator[None]:
    try:
        yield
    except TwofoldError as error:
        metrics.ANSWER_REFUSED.labels(metrics.closed(error.slug, metrics.REFUSALS)).inc()
        raise


async def resumed(run: ResumableAnswer, last_event_id: str | None) -> Response:
    """Returns the rest of a stream: what stands behind `last_event_id`, and what is still to
    come."""
    await run.begun()
    return EventStream(run.read(_number(run, last_event_id)))


def _number(run: ResumableAnswer, last_event_id: str | None) -> int:
    answer_id, _, number = (last_event_id or "").rpartition(":")
    # Another answer's event, or none of ours: the reader gets everything.
    known = answer_id == run.answer_id and number.isascii() and number.isdigit()
    return int(number) if known and len(number) < 10 else -1


def _whole(answer: ChatAnswer) -> Response:
    return Response(orjson.dumps(answer.model_dump()), media_type="application/json")


async def _stream(events: AsyncGenerator[Event, None]) -> Response:
    # The first event is awaited here: a question that is refused gets its status, not a stream.
    return EventStream(frames(await anext(events), events))
