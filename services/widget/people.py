"""Handing a thread to people: asked for, taken over, replied to, given back, closed, reopened."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from services.widget.answers import AnswerService
from services.widget.feed import ThreadFeed
from services.widget.hours import Office
from services.widget.sites import Placed, Sites
from services.widget.threads import WITH_PEOPLE, Posted, State, Threads
from twofold import metrics
from twofold.errors import Conflict, InvalidInput, NotFound, TwofoldError
from twofold.ledger.widget import Thread, Visitor

_log = structlog.get_logger("twofold.widget")


class HandoffDetails(NamedTuple):
    """What a visitor says along with asking for a person."""

    message: str = ""
    email: str = ""
    name: str = ""


class AgentReply(NamedTuple):
    """An agent's reply. With `learn` it is kept for the dataset, where `[n]` in `text` means the
    n-th of `documents`."""

    id: UUID
    text: str
    name: str
    learn: bool = False
    documents: tuple[str, ...] = ()


class People:
    """What visitors and agents do to a thread; its readers hear of everything."""

    def __init__(
        self, threads: Threads, feed: ThreadFeed, service: AnswerService, sites: Sites
    ) -> None:
        self._threads = threads
        self._feed = feed
        self._service = service
        self._sites = sites

    async def ask(
        self, site: Placed, visitor: Visitor, thread: Thread, details: HandoffDetails
    ) -> tuple[Thread, bool]:
        """Queues a thread for a person and returns whether that is new.

        Raises Conflict where the site has none, InvalidInput where it needs an address.
        """
        if not site.config.handoff.enabled:
            raise Conflict("Nobody can take over here.")
        waiting = waiting_state(site)
        address = details.email or thread.email or visitor.email or ""
        needed = waiting == "offhours" and site.config.handoff.email == "required"
        if needed and not address:
            raise InvalidInput("Nobody is there now. Leave an e-mail address for the reply.")
        if thread.state in WITH_PEOPLE:
            return thread, False
        body = {"message": details.message, "locale": visitor.locale, "contact": address}
        if visitor.customer:
            body["customer"] = visitor.customer
        if thread.conversation_id is not None:
            body["conversation_id"] = thread.conversation_id
        handoff = await self._service.ask_for_person(body, f"{thread.id}:{thread.seq}")
        values = {
            "conversation_id": handoff["conversation_id"],
            "email": address,
        }
        queued = await self._queue(thread.id, waiting, "visitor", handoff, values, details.message)
        return queued, True

    async def handed_over(self, thread_id: str, escalation: Mapping[str, Any]) -> Thread:
        """Queues a thread that the assistant handed over. The outbox has it already: where the
        answer service does not tell its id, the thread waits all the same. One that waits already
        goes on for the more serious reason."""
        thread = await asyncio.to_thread(self._threads.get, thread_id)
        site = await asyncio.to_thread(self._sites.known, thread.site_id)
        handoff: dict[str, Any] = {"id": thread.handoff_id, **escalation}
        try:
            body = {"conversation_id": thread.conversation_id}
            if customer := await asyncio.to_thread(self._threads.customer_of, thread):
                body["customer"] = customer
            handoff = await self._service.ask_for_person(body, thread_id)
        except TwofoldError as error:
            _log.warning("a hand-over has no number yet", error=error.message)
        if thread.state not in WITH_PEOPLE:
            return await self._queue(thread_id, waiting_state(site), "assistant", handoff, {})
        if await self._outweighs(handoff, thread.handoff_id):
            return await asyncio.to_thread(self._renumber, thread, handoff)
        return thread

    async def _outweighs(self, handoff: Mapping[str, Any], waits_for: str | None) -> bool:
        """Returns whether a hand-over is more serious than the one that a thread waits for."""
        if waits_for is None or "gravity" not in handoff:
            return waits_for is None
        try:
            standing = await self._service.handoff(waits_for)
        except TwofoldError as error:
            _log.warning("nobody knows what a thread waits for", error=error.message)
            return isinstance(error, NotFound)
        return bool(handoff["gravity"] > standing.get("gravity", 0))

    async def take(self, thread_id: str, name: str, *, force: bool) -> Thread:
        """Gives an agent the thread. Raises Conflict where another one has it."""
        thread = await asyncio.to_thread(self._threads.get, thread_id)
        if thread.state == "taken" and thread.agent == name:
            return thread
        if thread.state == "taken" and not force:
            raise Conflict(f"{thread.agent or 'Another agent'} has this conversation.")
        return await self._turn(thread_id, "taken", "agent", (*WITH_PEOPLE, "closed"), agent=name)

    async def reply(self, thread_id: str, reply: AgentReply) -> Posted:
        """Says an agent's words to the visitor. Raises Conflict where nobody took the thread."""
        thread = await asyncio.to_thread(self._threads.get, thread_id)
        asked_at = thread.asked_at
        said = await asyncio.to_thread(
            self._threads.say, thread_id, str(reply.id), reply.text, reply.name or thread.agent
        )
        self._feed.touch(thread_id)
        if said.new and asked_at is not None:
            metrics.HANDOFF_FIRST_REPLY.observe(max(0.0, time.time() - asked_at))
        if reply.learn and thread.handoff_id:
            await self.keep(thread.handoff_id, reply)
        return said

    async def keep(self, handoff_id: str, reply: AgentReply) -> None:
        """Keeps an agent's reply for the dataset."""
        body = {"text": reply.text, "documents": list(reply.documents)}
        await self._service.keep_reply(handoff_id, body)

    async def close(self, thread_id: str, by: str) -> Thread:
        """Settles the thread: the agent did, or the visitor, who is back at the assistant."""
        if by == "visitor":
            return await self._turn(thread_id, "assistant", "visitor", (*WITH_PEOPLE, "closed"))
        return await self._turn(thread_id, "closed", "agent", WITH_PEOPLE, asked_at=None)

    async def give_back(self, thread_id: str) -> Thread:
        """Gives the thread back to the assistant."""
        return await self._turn(thread_id, "assistant", "agent", WITH_PEOPLE, asked_at=None)

    async def reopen(self, thread: Thread) -> Thread:
        """Reopens a settled thread: the visitor is not done after all."""
        now = time.time()
        return await self._turn(thread.id, "reopened", "visitor", ("closed",), asked_at=now)

    async def _queue(
        self,
        thread_id: str,
        waiting: State,
        by: str,
        handoff: Mapping[str, Any],
        values: dict[str, Any],
        said: str = "",
    ) -> Thread:
        return await self._turn(
            thread_id, waiting, by, (),
            said=said,
            handoff_id=handoff.get("id"),
            team=handoff.get("team", ""),
            reason=handoff.get("reason", ""),
            searched=handoff.get("searched", True),
            agent="",
            asked_at=time.time(),
            **values,
        )  # fmt: skip

    async def _turn(
        self, thread_id: str, to: State, by: Any, allowed: tuple[str, ...], **values: Any
    ) -> Thread:
        thread = await asyncio.to_thread(
            lambda: self._threads.turn(thread_id, to, by, allowed, **values)
        )
        self._feed.touch(thread_id)
        return thread

    def _renumber(self, thread: Thread, handoff: Mapping[str, Any]) -> Thread:
        self._threads.note(
            thread.id,
            handoff_id=handoff.get("id"),
            team=handoff.get("team", thread.team),
            reason=handoff.get("reason", thread.reason),
            searched=handoff.get("searched", thread.searched),
        )
        return self._threads.get(thread.id)


def office_of(site: Placed) -> Office:
    """Returns whether somebody is there now."""
    return site.config.hours.at(time.time()) if site.config.hours else Office(open=True)


def waiting_state(site: Placed) -> State:
    """Returns how a thread waits that is handed over now."""
    return "queued" if office_of(site).open else "offhours"
