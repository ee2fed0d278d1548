"""POST /v1/chat/completions and GET /v1/models: for whatever already speaks to OpenAI."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.answer import pipeline
from services.answer.endpoints.chat import CLIENT_LEFT, counting_refusals
from services.answer.endpoints.chores import chore
from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.endpoints.openai_schemas import (
    MODEL,
    Completion,
    CompletionRequest,
    Model,
    ModelList,
)
from services.answer.events import Delta, Done, Event, Meta
from services.answer.pipeline import Parts
from services.answer.schemas import ChatAnswer
from services.http.problems import declare_openai, openai_error, problem_of
from services.http.streams import EventStream, while_connected
from twofold.errors import NotFound
from twofold.ledger.models import Answer

router = APIRouter(tags=["openai"])

_STREAM = {
    "content": {
        "text/event-stream": {
            "schema": {"type": "string"},
            "example": 'data: {"object":"chat.completion.chunk"}\n\ndata: [DONE]\n\n',
        }
    },
    "description": "A completion; with `stream: true` its chunks. `twofold` holds our own answer.",
}


@router.get("/v1/models", summary="The one model there is", responses=declare_openai())
async def models(_caller: CallerDep) -> ModelList:
    return ModelList(data=[Model()])


@router.post(
    "/v1/chat/completions",
    response_model=Completion,
    summary="Ask a question as OpenAI's clients do",
    responses={200: _STREAM, **declare_openai(404, 409, 502)},
)
async def complete(
    body: CompletionRequest, request: Request, parts: PartsDep, caller: CallerDep
) -> Response:
    if body.model != MODEL:
        raise NotFound(f"There is no model {body.model[:64]!r}. There is {MODEL!r}.")
    if (done := chore([(m.role, m.text) for m in body.messages])) is not None:
        return _without_answer(done.text, stream=bool(body.stream))
    ask = body.ask(caller)
    caller.check_audiences(ask.audiences)
    with counting_refusals():
        if body.stream:
            events = pipeline.answer(ask, parts)
            first = await anext(events)
            return EventStream(chunks(first, events, parts, body.wants_usage))
        answered = await while_connected(request.receive, pipeline.ask_once(ask, parts))
    if answered is None:
        return Response(status_code=CLIENT_LEFT)
    answer = ChatAnswer.of(answered)
    completion = {
        **_head(answer.answer_id, "chat.completion", int(time.time())),
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": await usage(parts, answer.answer_id),
        "twofold": answer.model_dump(),
    }
    return Response(orjson.dumps(completion), media_type="application/json")


def _without_answer(text: str, *, stream: bool) -> Response:
    """Returns a completion that the house did not answer; none of it is on record."""
    created = int(time.time())
    if stream:
        head = _head(str(uuid4()), "chat.completion.chunk", created)
        parts = (_chunk(head, {"role": "assistant", "content": text}), _chunk(head, {}, "stop"))
        return Response(b"".join([*parts, b"data: [DONE]\n\n"]), media_type="text/event-stream")
    message = {"role": "assistant", "content": text, "refusal": None}
    completion = {
        **_head(str(uuid4()), "chat.completion", created),
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0),
    }
    return Response(orjson.dumps(completion), media_type="application/json")


async def chunks(
    first: Event, rest: AsyncGenerator[Event, None], parts: Parts, wants_usage: bool
) -> AsyncGenerator[bytes, None]:
    """Yields the answer as OpenAI streams it. `twofold` comes with the chunk that says `stop`."""
    if not isinstance(first, Meta):
        raise TypeError("an answer begins with Meta")
    head = _head(first.answer_id, "chat.completion.chunk", int(time.time()))
    if wants_usage:
        head["usage"] = None
    yield _chunk(head, {"role": "assistant", "content": ""})
    try:
        async with aclosing(rest) as events:
            async for event in events:
                if isinstance(event, Delta):
                    yield _chunk(head, {"content": event.text})
                elif isinstance(event, Done):
                    answer = ChatAnswer.of(event.answer).model_dump()
                    yield _chunk(head | {"twofold": answer}, {}, "stop")
    except Exception as error:
        yield _data(openai_error(problem_of(error)))
        return
    if wants_usage:
        counted = await usage(parts, first.answer_id)
        yield _data(head | {"choices": [], "usage": counted})
    yield b"data: [DONE]\n\n"


async def usage(parts: Parts, answer_id: str) -> dict[str, int]:
    """Returns what the model server counted; zeros where no model wrote."""

    def count() -> tuple[int, int]:
        with parts.stack.ledger.session() as session:
            row = session.get(Answer, answer_id)
            return (row.prompt_tokens, row.completion_tokens) if row else (0, 0)

    prompt, completion = await asyncio.to_thread(count)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _head(answer_id: str, kind: str, created: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{answer_id}", "object": kind, "created": created, "model": MODEL}


def _chunk(head: dict[str, Any], delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return _data(head | {"choices": [choice]})


def _data(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % orjson.dumps(value)
