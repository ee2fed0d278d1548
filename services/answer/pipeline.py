"""A question's way: guard, condense, retrieve, rerank, overrule, pack, generate, verify, decide,
record.

Every question ends in one of three ways. It is answered. Or, where index or embedder do not answer,
it is handed over with the words that search is down. Or, where the ledger does not answer, it is
refused, to be asked again: a hand-over is a row of the outbox before it is a promise, and a spool
beside the ledger would be a promise kept on one machine's disk, which nobody could look up, delete
or deliver twice at most.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import uuid4

import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.answer.condense import as_of_in, condense
from services.answer.contract import Ask, Evidence, Found, Question
from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.generate import Seen, Told
from services.answer.generate.ladder import Ladder
from services.answer.guard import clean, detect_locale
from services.answer.pack import Terms, pack
from services.answer.precedence import holding
from services.answer.record import SLOW, recall, record
from services.answer.rerank import rerank
from services.answer.retrieve import retrieve
from services.answer.verify import Sources
from services.answer.watch import Watch
from twofold import metrics
from twofold.clients.rerank import Reranker
from twofold.errors import TwofoldError, Unavailable
from twofold.house import HousePolicy
from twofold.index import Scope, SparseVector
from twofold.stack import Stack

T = TypeVar("T")

GRACE_S = 2.0
"""Past its deadline an answer still has this long to be recorded: without it, it is lost."""
SEARCH_SHARE = 0.5
"""Search may take this much of a question's time: the rest is for saying what came of it."""
BUSY = "More questions arrive than can be searched for. Ask again in a moment."

_log = structlog.get_logger("twofold.pipeline")


@dataclass(frozen=True, slots=True)
class Parts:
    """What answering needs, made once per process."""

    stack: Stack
    house: HousePolicy
    decider: Decider
    ladder: Ladder
    reranker: Reranker | None = None
    searches: Crowd = field(default_factory=lambda: Crowd(8, 32, BUSY))
    searchers: Executor = field(default_factory=lambda: ThreadPoolExecutor(8, "search"))
    """Threads of search alone: a search that hangs must not keep a hand-over from being written."""
    clock: Callable[[], float] = time.time

    async def aclose(self) -> None:
        await self.ladder.aclose()
        if self.reranker is not None:
            await self.reranker.aclose()


async def answer(ask: Ask, parts: Parts) -> AsyncGenerator[Event, None]:
    """Answer one question. Raises a TwofoldError before the first event, or ends in one Done.

    Only the ledger can still fail it after Meta: an answer that is not recorded is not Done.
    Closing this generator ends the model's call, and leaves no record.
    """
    watch = Watch(time.monotonic() + parts.stack.settings.deadline_s)
    with metrics.ANSWER_IN_FLIGHT.track_inprogress():
        async with parts.searches.place(watch.until):
            seen = await look(ask, parts, watch)
        meta = Meta(str(uuid4()), ask.conversation_id or str(uuid4()))
        yield meta
        with watch.step("generate"):
            tell = parts.ladder.tell(seen, watch.until, meta.conversation_id)
            async with aclosing(tell) as said:
                async for event in said:
                    if not isinstance(event, Told):
                        watch.spoke()
                        yield event
        told = event
        assert isinstance(told, Told)  # noqa: S101  it comes last
        answered = _answered(meta, seen, told, watch)
        until = watch.until + GRACE_S
        await _apart(until, partial(_write, ask, seen, told, answered, parts, watch, until))
        watch.spoke()
        for event in _unsaid(told, answered):
            yield event
        yield Cited(answered.citations)
        yield Done(answered)


async def ask_once(ask: Ask, parts: Parts) -> Answered:
    """The finished answer of one question."""
    async with aclosing(answer(ask, parts)) as events:
        async for event in events:
            if isinstance(event, Done):
                return event.answer
    raise AssertionError("a question ends in Done")


async def look(ask: Ask, parts: Parts, watch: Watch) -> Seen:
    """Everything before a word is written: what is asked, what the sources hold, what that means.

    Raises a TwofoldError; but where only search fails, what is seen is that.
    """
    until = watch.share(SEARCH_SHARE)
    try:
        if parts.reranker is None:
            work = partial(_search_and_weigh, ask, parts, watch)
            return await _apart(until, work, parts.searchers)
        search = partial(_search, ask, parts, watch)
        question, found = await _apart(until, search, parts.searchers)
    except _NoSearch as error:
        failed = str(error)
    except _TooLate:
        failed = "search: too slow"
    else:
        with watch.step("rerank"):
            seconds = parts.stack.settings.reranker_s
            found = await rerank(question.standalone, found, parts.reranker, seconds)
        return await _apart(watch.until, lambda: _weigh(question, found, parts, watch))
    return await _apart(watch.until, lambda: _unsearched(ask, parts, watch, failed))


def understand(ask: Ask, parts: Parts) -> Question:
    """Guard and condense: the standalone question, its language, and whose sources it may see."""
    message = clean(ask.message, parts.stack.settings.max_question_chars)
    history = recall(parts.stack.ledger, ask)
    now = parts.clock()
    as_of = ask.as_of or as_of_in(message, now)
    return Question(
        asked=message,
        standalone=condense(message, history),
        locale=ask.locale or detect_locale(message, parts.house.locales),
        scope=Scope(ask.workspace, int(as_of or now), ask.audiences),
        as_of=as_of,
        history=history,
    )


def _search_and_weigh(ask: Ask, parts: Parts, watch: Watch) -> Seen:
    return _weigh(*_search(ask, parts, watch), parts, watch)


def _search(ask: Ask, parts: Parts, watch: Watch) -> tuple[Question, Found]:
    with _naming_what_failed():
        with watch.step("condense"):
            question = understand(ask, parts)
        with watch.step("retrieve"), _naming_search():
            return question, retrieve(question, parts.stack)


def _weigh(question: Question, found: Found, parts: Parts, watch: Watch) -> Seen:
    with watch.step("pack"):
        found = holding(found, question)
        terms = Terms(parts.stack.sparse, question.locale, found)
        settings = parts.stack.settings
        packed, evidence = pack(found, terms, settings.context_chunks, settings.context_chars)
    with watch.step("decide"):
        reading = parts.decider.read(question, found.vector)
        verdict = parts.decider.after(reading, found, evidence)
    sources = Sources(packed, terms)
    seen = Seen(question, found, packed, terms, sources, evidence, reading.settled, verdict)
    watch.found(seen)
    return seen


def _unsearched(ask: Ask, parts: Parts, watch: Watch, failed: str) -> Seen:
    """What is left to see of a question when the sources cannot be searched: its words."""
    with _naming_what_failed(), watch.step("condense"):
        question = understand(ask, parts)
    found = Found((), np.empty(0, np.float32), SparseVector([], []))
    terms = Terms(parts.stack.sparse, question.locale, found)
    verdict = parts.decider.unsearched(question, failed)
    return Seen(question, found, (), terms, Sources((), terms), Evidence(), verdict, verdict)


def _answered(meta: Meta, seen: Seen, told: Told, watch: Watch) -> Answered:
    return Answered(
        answer_id=meta.answer_id,
        conversation_id=meta.conversation_id,
        action=told.decision.action,
        text=told.text,
        citations=told.citations,
        escalation=told.decision.escalation,
        served_by=told.served_by,
        as_of=seen.question.as_of,
        timings=watch.timings,
    )


def _write(
    ask: Ask, seen: Seen, told: Told, answered: Answered, parts: Parts, watch: Watch, until: float
) -> None:
    """The record, and with it a handoff's outbox row: before any promise to the customer."""
    stack = parts.stack
    with _naming_what_failed(), watch.step("record"):
        record(
            stack.ledger, ask, seen.question, seen.found, seen.packed, told.draft, told.verified,
            told.decision, answered, stack.fingerprint.digest, until,
        )  # fmt: skip
    if not ask.evaluation:
        watch.ended(told)


def _unsaid(told: Told, answered: Answered) -> Iterator[Acted | Delta]:
    """What the customer has not read yet. A reply that broke off is taken over: it acts again."""
    if told.acted != answered.action:
        yield Acted(answered.action, answered.escalation, answered.served_by)
    rest = answered.text[len(told.said) :]
    for piece in rest.splitlines(keepends=True):
        yield Delta(piece)


class _NoSearch(Exception):
    """Index or embedder failed; the message says which problem it was."""


class _TooLate(Unavailable):
    pass


async def _apart(until: float, work: Callable[[], T], threads: Executor | None = None) -> T:
    """`work` in a thread of its own; what still runs at `until` (time.monotonic) is left alone."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            return await loop.run_in_executor(threads, partial(copy_context().run, work))
    except TimeoutError as error:
        raise _TooLate(SLOW) from error


@contextmanager
def _naming_what_failed() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        _log.error("the ledger failed", exc_info=error)
        raise Unavailable("The ledger does not answer. Ask again in a moment.") from error


@contextmanager
def _naming_search() -> Iterator[None]:
    """Index and embedder may be other machines: whatever they raise is their failure, not ours."""
    try:
        yield
    except SQLAlchemyError:
        raise
    except Exception as error:
        _log.error("search failed", exc_info=error)
        slug = error.slug if isinstance(error, TwofoldError) else type(error).__name__
        raise _NoSearch(f"search: {slug}") from error
