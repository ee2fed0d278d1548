"""A visitor's thread: read back, begun anew, rated, looked up, taken along."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.http.problems import declare
from services.widget import transcript
from services.widget.endpoints.deps import Visit, VisitDep
from services.widget.people import office_of
from services.widget.schemas import (
    ConsentRequest,
    FeedbackOut,
    FeedbackRequest,
    HandoffOut,
    ReadRequest,
    SourceOut,
    ThreadOut,
)
from services.widget.sources import preview
from twofold.errors import NotFound
from twofold.ledger.widget import Thread

router = APIRouter(prefix="/widget/v1/{site}", tags=["widget"])


@router.get("/thread", summary="Read the conversation back", responses=declare(404, 502))
async def read_thread(here: VisitDep) -> ThreadOut:
    thread = await asyncio.to_thread(here.widget.threads.current, here.visitor.id)
    return await out(here, thread)


@router.post(
    "/threads", status_code=201, summary="Begin a new conversation", responses=declare(404, 409)
)
async def start(here: VisitDep) -> ThreadOut:
    thread = await asyncio.to_thread(here.widget.threads.start, here.site.id, here.visitor.id)
    return await out(here, thread)


@router.post("/read", status_code=204, summary="Say what was seen", responses=declare(404))
async def read(body: ReadRequest, here: VisitDep) -> None:
    await asyncio.to_thread(here.widget.threads.read, here.visitor.id, body.seq)


@router.post("/consent", status_code=204, summary="Agree to the terms", responses=declare(404))
async def consent(body: ConsentRequest, here: VisitDep) -> None:
    del body  # there is only one thing to say
    now = time.time()
    await asyncio.to_thread(lambda: here.widget.sessions.note(here.visitor.id, consented_at=now))


@router.post("/feedback", status_code=201, summary="Rate an answer", responses=declare(404, 502))
async def rate(body: FeedbackRequest, here: VisitDep) -> FeedbackOut:
    await asyncio.to_thread(here.widget.threads.owner_of, body.answer_id, here.visitor.id)
    await here.widget.service.rate(body.answer_id, body.rating, body.comment)
    return FeedbackOut(answer_id=body.answer_id, rating=body.rating)


@router.get(
    "/sources/{answer_id}/{n}", summary="Open what an answer cites", responses=declare(404, 502)
)
async def source(answer_id: str, n: int, here: VisitDep) -> SourceOut:
    """The document version that was cited, with the quoted words marked."""
    widget = here.widget
    item = await asyncio.to_thread(widget.threads.owner_of, answer_id, here.visitor.id)
    thread = await asyncio.to_thread(widget.threads.get, item.thread_id)
    answer = (await widget.answers_of(thread, here.visitor.customer)).get(answer_id)
    cited = next((c for c in (answer or {}).get("citations", ()) if c["n"] == n), None)
    if cited is None:
        raise NotFound(f"This answer has no source {n}.")
    version = await widget.service.version(cited["document"], cited["version"], here.audience)
    return preview(cited, version)


@router.get(
    "/transcript",
    response_class=Response,
    summary="Take the conversation along",
    responses={
        200: {"content": {"text/plain": {}, "application/json": {}}},
        **declare(404, 502),
    },
)
async def take_along(
    here: VisitDep, format: Annotated[Literal["text", "json"], Query()] = "text"
) -> Response:
    thread = await here.thread()
    told = await out(here, thread)
    content, media_type, ending = transcript.write(told, here.site.config.name, format)
    name = f"conversation-{time.strftime('%Y-%m-%d', time.gmtime(thread.created_at))}.{ending}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=media_type, headers=headers)


async def out(here: Visit, thread: Thread | None) -> ThreadOut:
    """Returns a thread as its visitor is told it; an empty one for None."""
    if thread is None:
        return ThreadOut(
            thread_id=None, state="assistant", handoff=None, items=[], seq=0, read=0, unread=0
        )
    widget = here.widget
    items = await asyncio.to_thread(widget.threads.items, thread.id)
    return ThreadOut.model_validate(
        {
            "thread_id": thread.id,
            "state": thread.state,
            "handoff": HandoffOut.of(thread, office_of(here.site)),
            "items": await widget.told(thread, items, here.visitor.customer),
            "seq": thread.seq,
            "read": thread.read,
            "unread": await asyncio.to_thread(widget.threads.unread, thread),
        }
    )
