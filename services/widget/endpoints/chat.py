"""Asking: a question goes to the assistant and its answer streams back; or to the person who has
the conversation."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.responses import JSONResponse, Response

from services.http.problems import declare
from services.http.streams import EventStream
from services.widget.answering import Answering, ThreadQuestion
from services.widget.endpoints.deps import Visit, VisitDep
from services.widget.errors import ConsentNeeded, QuotaExhausted
from services.widget.quota import quota_of
from services.widget.schemas import MessageRequest, StopRequest, item_out
from services.widget.threads import Posted
from services.widget.widget import ask_body
from twofold import metrics
from twofold.errors import Conflict, InvalidInput

router = APIRouter(prefix="/widget/v1/{site}", tags=["widget"])

STREAM = {
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
    "description": "The answer's events: `meta`, `action`, `delta`…, `citations`, `done`, `state`.",
}


@router.post(
    "/messages",
    response_class=Response,
    summary="Say something",
    responses={200: STREAM, 202: {"description": "A person gets it."}, **declare(404, 409, 502)},
)
async def post(
    body: MessageRequest,
    here: VisitDep,
    last_event_id: Annotated[
        str | None, Header(description="The last event that arrived: it goes on behind it.")
    ] = None,
) -> Response:
    """The same `id` with the same text again is the same message: that is how a stream that broke
    off goes on."""
    widget = here.widget
    text = _clean(body.text, widget.settings.max_question_chars)
    consent = here.site.config.consent
    if consent is not None and consent.required and here.visitor.consented_at is None:
        raise ConsentNeeded("Agree to the terms of this chat first.")
    if last_event_id is not None and await _goes_on(here, str(body.id)):
        metrics.WIDGET_RESUMED.inc()
    else:
        await widget.rates.check("message", here.visitor.id)
    posted = await _post(here, str(body.id), text)
    widget.feed.touch(posted.thread.id)
    widget.feed.wake(here.visitor.id)
    if posted.for_person:
        item = item_out(posted.item, posted.thread, {})
        return JSONResponse({"item": item}, status_code=202)
    answering = _answering(here, posted)
    await answering.begun()
    return EventStream(answering.read(last_event_id))


@router.post(
    "/messages/{message_id}/stop",
    status_code=204,
    summary="Stop an answer where it is",
    responses=declare(404),
)
async def stop(message_id: str, body: StopRequest, here: VisitDep) -> None:
    """Its model writes no more: what was said by then is what is recorded, and of that its visitor
    sees as much as was shown."""
    threads = here.widget.threads
    thread = await asyncio.to_thread(threads.of_message, here.visitor.id, message_id)
    await asyncio.to_thread(threads.stop, thread.id, message_id, body.chars)
    await here.widget.answerings.stop(thread.id, message_id)
    here.widget.feed.touch(thread.id)


async def _goes_on(here: Visit, message_id: str) -> bool:
    """Returns whether nothing is asked anew: any client may say that it has heard of a message."""
    return await asyncio.to_thread(here.widget.threads.stands, here.visitor.id, message_id)


async def _post(here: Visit, message_id: str, text: str) -> Posted:
    threads, site, visitor = here.widget.threads, here.site, here.visitor
    quota = quota_of(site, time.time())
    for last in (False, True):
        try:
            return await asyncio.to_thread(
                threads.post, site.id, visitor.id, message_id, text, quota
            )
        except QuotaExhausted:
            metrics.WIDGET_QUOTA_REFUSED.inc()
            raise
        except Conflict:
            stopped = None if last else await _stopped(here)
            if stopped is None:
                raise
            # It was stopped by whoever asks now: its end is near, and comes first.
            await stopped.over()
    raise AssertionError("the last try returns or raises")


async def _stopped(here: Visit) -> Answering | None:
    """Returns the visitor's answer that was stopped, and is still being written down."""
    threads = here.widget.threads
    thread = await asyncio.to_thread(threads.current, here.visitor.id)
    if thread is None or thread.answering is None:
        return None
    items = await asyncio.to_thread(threads.items, thread.id)
    stopped = any(i.message_id == thread.answering and i.status == "stopped" for i in items)
    return here.widget.answerings.of(thread.id, thread.answering) if stopped else None


def _answering(here: Visit, posted: Posted) -> Answering:
    thread, item = posted.thread, posted.item
    body = ask_body(here.visitor, here.audience, thread, item.text)
    question = ThreadQuestion(thread.id, item.message_id or "", body, item.answer_id)
    return here.widget.answerings.join(question)


def _clean(text: str, most: int) -> str:
    """Raises InvalidInput for nothing, and for too much."""
    text = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    if not text:
        raise InvalidInput("Write something first.")
    if len(text) > most:
        raise InvalidInput(f"That is {len(text)} characters, and {most} are possible. Shorten it.")
    return text
