"""A visitor and people: asking for one, leaving an address, closing, coming back."""

import asyncio
import time
from uuid import uuid4

from fastapi import APIRouter
from starlette.responses import Response

from services.http.problems import declare
from services.widget.endpoints.deps import Visit, VisitDep
from services.widget.endpoints.thread import out
from services.widget.people import HandoffDetails
from services.widget.quota import quota_of
from services.widget.schemas import (
    ContactRequest,
    PersonRequest,
    ReopenRequest,
    ThreadOut,
    TypingRequest,
)
from services.widget.threads import TO_PEOPLE
from twofold.errors import Conflict
from twofold.ledger.widget import Thread

router = APIRouter(prefix="/widget/v1/{site}", tags=["widget"])


@router.post(
    "/handoff",
    status_code=201,
    summary="Ask for a person",
    responses={
        200: {"model": ThreadOut, "description": "One was asked for before"},
        **declare(404, 409, 502),
    },
)
async def ask(body: PersonRequest, here: VisitDep, response: Response) -> ThreadOut:
    """`consent`: the visitor knows that a person will read the conversation."""
    widget = here.widget
    await widget.rates.check("message", here.visitor.id)
    if body.name and here.visitor.customer is None:
        await asyncio.to_thread(
            lambda: widget.sessions.note(here.visitor.id, name=body.name.strip())
        )
    thread = await asyncio.to_thread(widget.threads.current_or_new, here.site.id, here.visitor.id)
    details = HandoffDetails(body.message.strip(), body.email or "")
    thread, new = await widget.people.ask(here.site, here.visitor, thread, details)
    widget.feed.wake(here.visitor.id)
    if not new:
        response.status_code = 200
    return await out(here, thread)


@router.post(
    "/handoff/contact", status_code=204, summary="Leave an address", responses=declare(404, 409)
)
async def contact(body: ContactRequest, here: VisitDep) -> None:
    thread = await here.thread()
    if thread.state == "assistant":
        raise Conflict("No person was asked for.")
    await asyncio.to_thread(lambda: here.widget.threads.note(thread.id, email=body.email))
    here.widget.feed.touch(thread.id)


@router.post("/handoff/close", summary="Be done with a person", responses=declare(404, 409, 502))
async def close(here: VisitDep) -> ThreadOut:
    thread = await here.thread()
    return await out(here, await here.widget.people.close(thread.id, "visitor"))


@router.post("/handoff/reopen", summary="Come back to it", responses=declare(404, 409, 502))
async def reopen(body: ReopenRequest, here: VisitDep) -> ThreadOut:
    thread = await here.widget.people.reopen(await here.thread())
    if body.message.strip():
        await _write(here, thread, body.message.strip())
    return await out(here, thread)


@router.post("/typing", status_code=204, summary="Say that one types", responses=declare(404))
async def typing(body: TypingRequest, here: VisitDep) -> None:
    thread = await here.thread()
    if thread.state in TO_PEOPLE:
        at = time.time() if body.typing else 0.0
        await asyncio.to_thread(lambda: here.widget.threads.note(thread.id, visitor_typing_at=at))
        here.widget.feed.touch(thread.id)


async def _write(here: Visit, thread: Thread, text: str) -> None:
    quota = quota_of(here.site, time.time())
    await asyncio.to_thread(
        here.widget.threads.post, here.site.id, here.visitor.id, str(uuid4()), text, quota
    )
    here.widget.feed.touch(thread.id)
