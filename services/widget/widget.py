"""The widget's parts, made once per process, and what they do together."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx
import structlog

from services.widget.agents import Callers
from services.widget.answering import Answerings, ThreadQuestion, event
from services.widget.answers import AnswerService, Frame, open_http
from services.widget.feed import ThreadFeed
from services.widget.limits import Rates
from services.widget.people import People, office_of
from services.widget.quota import quota_of
from services.widget.schemas import StateOut, item_out
from services.widget.secrets import open_secret
from services.widget.sessions import Sessions, purge
from services.widget.sites import Placed, Sites
from services.widget.threads import Threads
from services.widget.tokens import Tokens
from twofold.errors import NotFound, SetupError
from twofold.ledger import Ledger
from twofold.ledger.widget import Item, Thread, Visitor
from twofold.settings import Settings

PURGE_EVERY_S: Final = 3600.0

_log = structlog.get_logger("twofold.widget")


@dataclass(frozen=True)
class Widget:
    """Everything that endpoints need."""

    settings: Settings
    ledger: Ledger
    sites: Sites
    tokens: Tokens
    sessions: Sessions
    threads: Threads
    feed: ThreadFeed
    service: AnswerService
    people: People
    rates: Rates
    answerings: Answerings
    callers: Callers
    desk: bool
    """Whether there is one here."""

    async def site(self, id: str) -> Placed:
        """Raises NotFound."""
        recent = self.sites.recent(id)
        return recent if recent is not None else await asyncio.to_thread(self.sites.known, id)

    async def answers_of(self, thread: Thread, customer: str | None) -> dict[str, dict[str, Any]]:
        """Returns whole answers of a customer's thread by id, each with its rating."""
        if thread.conversation_id is None:
            return {}
        try:
            found = await self.service.conversation(thread.conversation_id, customer)
        except NotFound:
            return {}
        return {
            turn["answer"]["answer_id"]: {**turn["answer"], "rating": turn["rating"]}
            for turn in found["turns"]
        }

    async def told(
        self, thread: Thread, items: list[Item], customer: str | None
    ) -> list[dict[str, Any]]:
        """Returns items of a customer's thread as they are told, with their answers."""
        wanted = any(item.answer_id for item in items)
        answers = await self.answers_of(thread, customer) if wanted else {}
        return [item_out(item, thread, answers) for item in items]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the background work while the block runs."""
        upkeep = asyncio.create_task(self._keep_up())
        try:
            async with self.feed.looking():
                yield
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await self.answerings.aclose()
            await self.service.aclose()
            await self.callers.http.aclose()

    async def _keep_up(self) -> None:
        while True:
            try:
                await asyncio.to_thread(purge, self.ledger, time.time())
                await self.forget_old()
            except Exception as error:
                _log.error("the widget's upkeep failed", exc_info=error)
            await asyncio.sleep(PURGE_EVERY_S)

    async def forget_old(self) -> None:
        """Threads beyond their site's retention, and what the answer service keeps of them."""
        for site in await asyncio.to_thread(self.sites.all):
            if site.config.retention_days:
                before = time.time() - site.config.retention_days * 86_400
                while old := await asyncio.to_thread(self.threads.older, site.id, before):
                    for thread in old:
                        await self._forget(thread)

    async def _forget(self, thread: Thread) -> None:
        if thread.conversation_id is not None:
            with suppress(NotFound):
                await self.service.forget(thread.conversation_id)
        await asyncio.to_thread(self.threads.remove, thread.id)


def ask_body(
    visitor: Visitor, audience: Sequence[str], thread: Thread, text: str
) -> dict[str, Any]:
    """Returns a question as the answer service takes it."""
    body: dict[str, Any] = {"message": text, "audience": list(audience)}
    if thread.conversation_id is not None:
        body["conversation_id"] = thread.conversation_id
    if visitor.customer is not None:
        body["customer"] = visitor.customer
    return body


class WaysIn(NamedTuple):
    """How an answer service in this process is reached: as its own widget, and as a stranger."""

    own: httpx.AsyncBaseTransport
    stranger: httpx.AsyncBaseTransport


def open_widget(
    settings: Settings, ledger: Ledger, inside: WaysIn | None = None, *, local: bool = False
) -> Widget:
    """Returns the widget's parts over an open ledger, and over an answer service at `answer_url` or
    `inside` this process. `local`: this machine alone can reach it, and its user needs no key.

    Raises SetupError for a secret that could be guessed, or for no answer service.
    """
    if inside is None and not settings.answer_url:
        raise SetupError("Set TWOFOLD_ANSWER_URL to where the answer service is.")
    url = "http://localhost" if inside else settings.answer_url
    key = "" if inside else settings.api_key.get_secret_value()
    service = AnswerService(open_http(url, key, inside.own if inside else None))
    stranger = open_http(url, "", inside.stranger if inside else None)
    callers = Callers(stranger, local, settings.workspace, settings.proxies)
    tokens = Tokens(open_secret(settings))
    sites, threads = Sites(ledger, settings.workspace), Threads(ledger)
    feed = ThreadFeed(threads, service)
    people = People(threads, feed, service, sites)

    async def finished(question: ThreadQuestion, done: dict[str, Any] | None) -> list[Frame]:
        thread_id, message_id = question.thread_id, question.message_id
        thread = await asyncio.to_thread(threads.get, thread_id)
        site = await asyncio.to_thread(sites.known, thread.site_id)
        if done is None:
            quota = quota_of(site, time.time())
            await asyncio.to_thread(threads.failed, thread_id, message_id, quota)
            feed.touch(thread_id)
            return []
        at = done["answer_id"], done["conversation_id"]
        await asyncio.to_thread(threads.answered, thread_id, message_id, *at)
        feed.touch(thread_id)
        if done["action"] != "ESCALATE" or not site.config.handoff.enabled:
            return []
        thread = await people.handed_over(thread_id, done["escalation"] or {})
        return [event("state", StateOut.of(thread, office_of(site)).model_dump())]

    return Widget(
        settings=settings,
        ledger=ledger,
        sites=sites,
        tokens=tokens,
        sessions=Sessions(ledger, tokens),
        threads=threads,
        feed=feed,
        service=service,
        people=people,
        rates=Rates(settings),
        answerings=Answerings(service, finished),
        callers=callers,
        desk=local if settings.desk is None else settings.desk,
    )
