"""What happens in a visitor's thread, as it happens: agents' words, states, typing."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from services.http.origin import network
from services.http.problems import declare
from services.http.streams import EventStream
from services.widget.answering import event, wire
from services.widget.endpoints.deps import Visit, VisitDep
from services.widget.people import office_of
from services.widget.schemas import StateOut
from twofold import metrics
from twofold.errors import Overloaded
from twofold.ledger.widget import Thread

TYPING_S: Final = 6.0
"""Who said that they type is taken to do so for this long."""
FIRST_S: Final = 60.0
"""How often a stream of a visitor who said nothing yet looks whether another tab did."""
MOST_STREAMS: Final = 6
"""Of one visitor in this process: tabs, not more."""
MOST_OF_NETWORK: Final = 2000
"""Of one address: visitors cost nothing to make, streams hold memory and files."""
_open: dict[str, int] = {}

router = APIRouter(prefix="/widget/v1/{site}", tags=["widget"])


@router.get(
    "/events",
    response_class=Response,
    summary="Follow the conversation",
    responses={
        200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
        **declare(404, 502),
    },
)
async def follow(
    here: VisitDep,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53, description="As `seq` of the thread.")] = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Events `item` (new or changed), `state`, `typing`; `renew` where the token ends."""
    if last_event_id is not None and last_event_id.isascii() and last_event_id.isdigit():
        after = int(last_event_id[:12])
    place = network(request.scope, here.widget.settings.proxies)
    if _open.get(here.visitor.id, 0) >= MOST_STREAMS:
        raise Overloaded("This chat is open in too many tabs.", 30)
    if _open.get(place, 0) >= MOST_OF_NETWORK:
        raise Overloaded("Too many chats are open in your network. Try again in a moment.", 30)
    return EventStream(_events(here, after, place))


async def _events(here: Visit, after: int, place: str) -> AsyncGenerator[bytes, None]:
    widget, visitor = here.widget, here.visitor.id
    with _counted(visitor, place), widget.feed.watching(visitor) as watch:
        thread = await asyncio.to_thread(widget.threads.current, visitor)
        if thread is None:
            yield wire(event("state", {"state": "assistant", "handoff": None}))
        while thread is None and _left(here) > 0:
            await watch.changes(min(FIRST_S, _left(here)))
            thread = await asyncio.to_thread(widget.threads.current, visitor)
        if thread is not None:
            async for each in _of_thread(here, thread, after):
                yield each
        # Either the token has ended, or the visitor is in another thread, which is read anew.
        yield wire(event("renew" if _left(here) <= 0 else "reload", {}))


async def _of_thread(here: Visit, thread: Thread, after: int) -> AsyncGenerator[bytes, None]:
    widget = here.widget
    told: tuple[object, ...] | None = None
    typing = False
    with widget.feed.watching(thread.id) as watch:
        while True:
            items = await asyncio.to_thread(widget.threads.items, thread.id, after)
            told_items = await widget.told(thread, items, here.visitor.customer)
            for item, out in zip(items, told_items, strict=True):
                after = max(after, item.changed)
                yield wire(event("item", out, str(item.changed)))
            state = StateOut.of(thread, office_of(here.site))
            now = (thread.state, thread.agent, thread.team, thread.email, thread.handoff_id)
            if now != told:
                told = now
                yield wire(event("state", state.model_dump()))
            types = time.time() - thread.agent_typing_at < TYPING_S
            if types != typing:
                typing = types
                yield wire(event("typing", {"typing": types, "name": thread.agent}))
            wait = min(_left(here), TYPING_S if typing else _left(here))
            if not await watch.changes(wait) and _left(here) <= 0:
                return
            found = await asyncio.to_thread(widget.threads.current, here.visitor.id)
            if found is None or found.id != thread.id:
                return
            thread = found


def _left(here: Visit) -> float:
    """Returns the seconds that the token has left."""
    return here.claims.expires_at - time.time()


@contextmanager
def _counted(*whose: str) -> Iterator[None]:
    for each in whose:
        _open[each] = _open.get(each, 0) + 1
    metrics.WIDGET_STREAMS.inc()
    try:
        yield
    finally:
        metrics.WIDGET_STREAMS.dec()
        for each in whose:
            _open[each] -= 1
            if not _open[each]:
                del _open[each]
