"""The desk's view of hand-offs: threads of the widget, and what came by the API."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from services.widget.sites import Sites
from services.widget.threads import WAITING, WITH_PEOPLE
from services.widget.widget import Widget
from twofold.errors import NotFound
from twofold.ledger import Ledger
from twofold.ledger.widget import Item, Site, Thread, Visitor

MOST_CARDS: Final = 200
EXTERNAL: Final = "external"
_FROM: Final = {"customer": "visitor", "assistant": "assistant", "agent": "agent"}
"""Who says something: as a packet's transcript has it, and as an item of a thread has it."""

Which = Literal["open", "taken", "closed", "all"]
_STATES: Final[dict[str, tuple[str, ...]]] = {
    "open": WAITING,
    "taken": ("taken",),
    "closed": ("closed",),
    "all": (*WITH_PEOPLE, "closed"),
}


class QueuedThread(NamedTuple):
    """A thread with whom it is of, and what its visitor said last."""

    thread: Thread
    visitor: Visitor
    question: str


def threads_of(ledger: Ledger, sites: Sites, which: Which) -> list[QueuedThread]:
    """Threads in these states, newest first."""
    with ledger.session() as session:
        rows = session.execute(
            select(Thread, Visitor)
            .join(Visitor, Visitor.id == Thread.visitor_id)
            .where(Thread.state.in_(_STATES[which]), Thread.site_id.in_(_ids(sites)))
            .order_by(Thread.changed_at.desc())
            .limit(MOST_CARDS)
        ).all()
        return [QueuedThread(t, v, _last(session, t.id)) for t, v in rows]


def seen(ledger: Ledger, sites: Sites, thread_id: str) -> QueuedThread:
    """Returns one thread. Raises NotFound."""
    with ledger.session() as session:
        row = session.execute(
            select(Thread, Visitor)
            .join(Visitor, Visitor.id == Thread.visitor_id)
            .where(Thread.id == thread_id, Thread.site_id.in_(_ids(sites)))
        ).first()
        if row is None:
            raise NotFound("There is no such conversation.")
        return QueuedThread(row.Thread, row.Visitor, _last(session, thread_id))


def card(found: QueuedThread, sites: Sites) -> dict[str, Any]:
    """Returns a thread as the desk's queue shows it."""
    thread, visitor = found.thread, found.visitor
    return {
        "id": thread.id,
        "thread_id": thread.id,
        "state": thread.state,
        "site": sites.known(thread.site_id).config.name,
        "team": thread.team,
        "reason": thread.reason,
        "searched": thread.searched,
        "customer": visitor.customer,
        "visitor": visitor.name,
        "email": thread.email or visitor.email,
        "locale": visitor.locale,
        "created_at": thread.asked_at or thread.created_at,
        "changed_at": thread.changed_at,
        "question": found.question,
        "agent": thread.agent or None,
        "seq": thread.seq,
    }


def external_card(handoff: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card of a hand-off that came by the API: there is no thread to answer in. It
    is done with once a reply was kept, or it was closed."""
    packet, closed = handoff["packet"], handoff.get("closed", handoff.get("replied", False))
    said = [turn["text"] for turn in packet.get("transcript", ()) if turn["role"] == "customer"]
    return {
        "id": handoff["id"],
        "thread_id": None,
        "state": "closed" if closed else EXTERNAL,
        "site": "",
        "team": handoff["team"],
        "reason": handoff["reason"],
        "searched": handoff.get("searched", True),
        "customer": packet.get("customer"),
        "visitor": "",
        "email": packet.get("contact", ""),
        "locale": packet.get("locale", ""),
        "created_at": handoff["created_at"],
        "changed_at": handoff["created_at"],
        "question": said[-1] if said else "",
        "agent": None,
        "seq": int(closed),
    }


async def cards(widget: Widget, which: Which) -> list[dict[str, Any]]:
    """Returns the queue: threads, and what came by the API; newest first."""

    def of_threads() -> list[dict[str, Any]]:
        found = threads_of(widget.ledger, widget.sites, which)
        return [card(each, widget.sites) for each in found]

    found = await asyncio.to_thread(of_threads)
    if which != "taken":
        handoffs = await widget.service.handoffs(MOST_CARDS)
        ids = [each["conversation_id"] for each in handoffs]
        ours = await asyncio.to_thread(widget.threads.conversations, ids)
        others = [external_card(h) for h in handoffs if h["conversation_id"] not in ours]
        wanted = {"open": (EXTERNAL,), "closed": ("closed",), "all": (EXTERNAL, "closed")}[which]
        found += [each for each in others if each["state"] in wanted]
    return sorted(found, key=lambda each: each["changed_at"], reverse=True)


async def detail(widget: Widget, id: str) -> dict[str, Any]:
    """Returns a card with everything an agent needs to go on. Raises NotFound."""
    try:
        found = await asyncio.to_thread(seen, widget.ledger, widget.sites, id)
    except NotFound:
        handoff = await widget.service.handoff(id)
        return {**external_card(handoff), "items": _items(handoff["packet"]), **_told(handoff)}
    items = await asyncio.to_thread(widget.threads.items, id)
    told = await widget.told(found.thread, items, found.visitor.customer)
    shown = await asyncio.to_thread(card, found, widget.sites)
    handoff = await _handoff(widget, found.thread)
    return {**shown, "items": told, **_told(handoff)}


async def _handoff(widget: Widget, thread: Thread) -> dict[str, Any]:
    if thread.handoff_id is None:
        return {}
    try:
        return await widget.service.handoff(thread.handoff_id)
    except NotFound:
        return {}


def _told(handoff: Mapping[str, Any]) -> dict[str, Any]:
    packet = handoff.get("packet", {})
    return {
        "reason_text": packet.get("reason_text", ""),
        "summary": packet.get("summary", ""),
        "sources": packet.get("sources", []),
        "suggested_reply": packet.get("suggested_reply", ""),
        "tried": packet.get("tried", []),
    }


def _items(packet: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns a packet's transcript in the form of a thread's items."""
    return [
        {
            "seq": number,
            "at": turn["at"],
            "kind": "message",
            "id": str(number),
            "from": _FROM[turn["role"]],
            "name": "",
            "text": turn["text"],
        }
        for number, turn in enumerate(packet.get("transcript", ()), 1)
    ]


def _ids(sites: Sites) -> Select[str]:
    return select(Site.id).where(Site.workspace == sites.workspace)


def _last(session: Session, thread_id: str) -> str:
    found = session.scalar(
        select(Item.text)
        .where(Item.thread_id == thread_id, Item.by == "visitor", Item.kind != "state")
        .order_by(Item.seq.desc())
        .limit(1)
    )
    return found or ""
