"""The desk's API: the queue, a conversation with all that helps, and what an agent does to it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from services.http.origin import network, peer, within
from services.http.problems import declare
from services.http.streams import EventStream
from services.widget import desk
from services.widget.agents import Agent, agent_of
from services.widget.answering import event, wire
from services.widget.endpoints.deps import WidgetDep
from services.widget.endpoints.events import TYPING_S
from services.widget.people import AgentReply
from services.widget.schemas import MessageId, Name, Words, item_out
from services.widget.schemas import Request as Body
from services.widget.threads import WITH_PEOPLE
from services.widget.widget import Widget
from twofold import metrics
from twofold.errors import InvalidInput, NotFound

LASTS_S: Final = 600.0
"""A desk's stream ends after this, so that a revoked key does not follow it for ever."""


async def _agent(request: Request, widget: WidgetDep) -> Agent:
    if not widget.desk:
        raise NotFound("There is no desk here. Set TWOFOLD_DESK=true to serve it.")
    settings = widget.settings
    await widget.rates.check("address", network(request.scope, settings.proxies))
    proxied = within(peer(request.scope), settings.proxies)
    return await agent_of(request, widget.callers, settings.desk_user_header, proxied)


AgentDep = Annotated[Agent, Depends(_agent)]
router = APIRouter(prefix="/desk/v1", tags=["desk"], dependencies=[Depends(_agent)])


class MeOut(BaseModel):
    name: str = Field(description="Empty where nobody vouches for one: send your own along.")
    auth: str


class CardsOut(BaseModel):
    handoffs: list[dict[str, Any]] = Field(description="Newest first.")


class AgentRequest(Body):
    name: Name = ""


class TakeRequest(AgentRequest):
    force: bool = Field(default=False, description="Also where another agent has it.")


class TypingRequest(AgentRequest):
    typing: bool


class ReplyRequest(AgentRequest):
    id: MessageId
    text: Words
    learn: bool = Field(default=False, description="Keep it for the dataset as well.")
    documents: Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=20)] = Field(
        default_factory=list, description="`[n]` in the text means the n-th."
    )


@router.get("/me", summary="Who is at the desk", responses=declare())
async def me(agent: AgentDep) -> MeOut:
    return MeOut(name=agent.name, auth=agent.auth)


@router.get("/handoffs", summary="The queue", responses=declare(502))
async def queue(widget: WidgetDep, state: Annotated[desk.Which, Query()] = "open") -> CardsOut:
    return CardsOut(handoffs=await desk.cards(widget, state))


@router.get("/handoffs/{id}", summary="One conversation", responses=declare(404, 502))
async def read(id: str, widget: WidgetDep) -> dict[str, Any]:
    """With its transcript, summary, sources and a suggested reply."""
    return await desk.detail(widget, id)


@router.post("/handoffs/{id}/take", summary="Take over", responses=declare(404, 409))
async def take(id: str, body: TakeRequest, agent: AgentDep, widget: WidgetDep) -> dict[str, Any]:
    await _ours(widget, id)
    name = _name(agent, body)
    if not name:
        raise InvalidInput("`name`: say who you are; the visitor sees it.")
    await widget.people.take(id, name, force=body.force)
    return await _card(widget, id)


@router.post(
    "/handoffs/{id}/reply", status_code=201, summary="Reply", responses=declare(404, 409, 502)
)
async def reply(id: str, body: ReplyRequest, agent: AgentDep, widget: WidgetDep) -> dict[str, Any]:
    """The same `id` twice is said once. Without a widget thread it is kept for the dataset."""
    text = body.text.strip()
    if not text:
        raise InvalidInput("`text`: write something first.")
    said = AgentReply(body.id, text, _name(agent, body), body.learn, tuple(body.documents))
    try:
        await _ours(widget, id)
    except NotFound:
        await widget.people.keep(id, said)
        widget.feed.touch(id)
        return {"item": None, "learned": True}
    posted = await widget.people.reply(id, said)
    return {"item": item_out(posted.item, posted.thread, {}), "learned": body.learn}


@router.post(
    "/handoffs/{id}/typing", status_code=204, summary="Say that one types", responses=declare(404)
)
async def typing(id: str, body: TypingRequest, widget: WidgetDep) -> None:
    await _ours(widget, id)
    at = time.time() if body.typing else 0.0
    await asyncio.to_thread(lambda: widget.threads.note(id, agent_typing_at=at))
    widget.feed.touch(id)


@router.post("/handoffs/{id}/close", summary="Settled", responses=declare(404, 409, 502))
async def close(id: str, body: AgentRequest, widget: WidgetDep) -> dict[str, Any]:
    del body
    try:
        await _ours(widget, id)
    except NotFound:
        handoff = await widget.service.close_handoff(id)
        widget.feed.touch(id)
        return desk.external_card(handoff)
    await widget.people.close(id, "agent")
    return await _card(widget, id)


@router.post("/handoffs/{id}/return", summary="Back to the assistant", responses=declare(404, 409))
async def give_back(id: str, body: AgentRequest, widget: WidgetDep) -> dict[str, Any]:
    del body
    await _ours(widget, id)
    await widget.people.give_back(id)
    return await _card(widget, id)


@router.get(
    "/events",
    response_class=Response,
    summary="Follow the queue",
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **declare(502),
    },
)
async def follow(widget: WidgetDep) -> Response:
    """First `queue`, then `card`, `item` and `typing` as they come; after ten minutes it ends."""
    return EventStream(_events(widget))


async def _events(widget: Widget) -> AsyncGenerator[bytes, None]:
    until = time.monotonic() + LASTS_S
    metrics.WIDGET_STREAMS.inc()
    try:
        with widget.feed.watching(None) as watch:
            found = await desk.cards(widget, "all")
            waiting = [each for each in found if each["state"] != "closed"]
            yield wire(event("queue", {"handoffs": waiting}))
            told = {each["id"]: each["seq"] for each in found}
            typing: dict[str, float] = {}
            while (left := until - time.monotonic()) > 0:
                for id in await watch.changes(left):
                    async for each in _changed(widget, id, told, typing):
                        yield each
    finally:
        metrics.WIDGET_STREAMS.dec()


async def _changed(
    widget: Widget, id: str, told: dict[str, int], typing: dict[str, float]
) -> AsyncGenerator[bytes, None]:
    try:
        found = await asyncio.to_thread(desk.seen, widget.ledger, widget.sites, id)
    except NotFound:
        # It came by the API; or was deleted since.
        with suppress(NotFound):
            card = desk.external_card(await widget.service.handoff(id))
            if told.get(id) != card["seq"]:
                told[id] = card["seq"]
                yield wire(event("card", card))
        return
    thread = found.thread
    if thread.state not in (*WITH_PEOPLE, "closed") and id not in told:
        return
    card = await asyncio.to_thread(desk.card, found, widget.sites)
    yield wire(event("card", card))
    items = await asyncio.to_thread(widget.threads.items, id, told.get(id, 0))
    for item in await widget.told(thread, items, found.visitor.customer):
        yield wire(event("item", {"handoff_id": id, "item": item}))
    told[id] = thread.seq
    if thread.visitor_typing_at != typing.get(id, 0.0):
        typing[id] = thread.visitor_typing_at
        types = time.time() - thread.visitor_typing_at < TYPING_S
        yield wire(event("typing", {"handoff_id": id, "typing": types}))


async def _ours(widget: Widget, id: str) -> None:
    """Raises NotFound where it is no thread of this workspace's sites."""
    await asyncio.to_thread(desk.seen, widget.ledger, widget.sites, id)


async def _card(widget: Widget, id: str) -> dict[str, Any]:
    found = await asyncio.to_thread(desk.seen, widget.ledger, widget.sites, id)
    return await asyncio.to_thread(desk.card, found, widget.sites)


def _name(agent: Agent, body: AgentRequest) -> str:
    return agent.name or "".join(c for c in body.name if c.isprintable()).strip()
