"""Answer events as server-sent events: plain bytes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import orjson

from services.answer.events import Acted, Cited, Delta, Done, Event, Meta
from services.answer.schemas import ChatAnswer, EscalationOut, citations_out
from services.http.problems import encode, problem_of


async def frames(first: Event, rest: AsyncGenerator[Event, None]) -> AsyncGenerator[bytes, None]:
    """Yields the events, numbered; what goes wrong behind the first is told as the last."""
    if not isinstance(first, Meta):
        raise TypeError("an answer begins with Meta")
    number = 0
    # Asks the model before telling the customer that an answer begins: the model takes longer.
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
