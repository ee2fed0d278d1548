"""A question's way: guard, recall, search, hear, decide, generate and verify, record.

`search` is retrieve, rerank, overrule, match, pack. `hear` gathers what rules, classifier and
evidence say; `reply` decides once: at the header of a model's reply, which is one more witness, or
before the composer. Each sentence is verified before it is told.

Every question ends in one of three ways. It is answered. Or, where index or embedder do not answer,
or nothing is indexed yet, it is handed over with the words that search is down. Or, where the
ledger does not answer, it is refused, to be asked again: a hand-over is a row of the outbox before
it is a promise, and a spool beside the ledger would be a promise kept on one machine's disk, which
nobody could look up, delete or deliver twice at most.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from traceback import extract_tb
from typing import TypeVar
from uuid import uuid4

import numpy as np
import structlog
from opentelemetry import trace
from sqlalchemy.exc import SQLAlchemyError
from structlog.contextvars import bound_contextvars

from services.answer.access.bulkhead import Bulkhead
from services.answer.access.flights import Flight, Flights
from services.answer.approved.serve import ApprovedAnswers
from services.answer.contract import Ask, Evidence, Found, Question
from services.answer.decide.decider import Decider
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.generate import AnswerContext, ReplyResult
from services.answer.generate.ladder import Ladder
from services.answer.record import SLOW, recall, record
from services.answer.search import Searched, search
from services.answer.search.condense import as_of_in
from services.answer.search.expand import synonyms
from services.answer.search.guard import clean, detect_locale
from services.answer.search.pack import Terms
from services.answer.search.rerank import Rerank, as_stage
from services.answer.timer import RequestTimer
from services.answer.verify import Sources
from twofold import genai, metrics
from twofold.clients.rerank import Reranker
from twofold.errors import TwofoldError, Unavailable
from twofold.index.contract import Scope, SparseVector
from twofold.ledger.watch import NO_LEDGER, LedgerWatch
from twofold.policy import HousePolicy
from twofold.stack import Stack

T = TypeVar("T")

GRACE_S = 2.0
"""Past its deadline an answer still has this long to be recorded: without it, it is lost."""
SEARCH_SHARE = 0.5
"""Search may take this much of a question's time: the rest is for saying what came of it."""
RERANK_SHARE = 0.5
"""Of the time that search has left, a reranker may take this much."""
LOOK_EVERY_S = 0.5
"""Who waits for the ledger hears within this that it is known not to answer."""
FRAMES = 4
"""Of a failed search's trace, the innermost, are logged."""
NOTHING_INDEXED = "nothing is indexed"
"""What fails a search where there is nothing to search: no question is off topic there."""
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
    approved: ApprovedAnswers | None = None
    searches: Bulkhead = field(default_factory=lambda: Bulkhead(8, 32, BUSY))
    searchers: Executor = field(default_factory=lambda: ThreadPoolExecutor(8, "search"))
    """Threads of search alone: a search that hangs must not keep a hand-over from being written."""
    writers: Executor = field(default_factory=lambda: ThreadPoolExecutor(8, "ledger"))
    """Threads that wait for the ledger alone: a locked one must not stop what others do."""
    flights: Flights = field(default_factory=Flights)
    clock: Callable[[], float] = time.time

    async def aclose(self) -> None:
        await self.ladder.aclose()
        if self.reranker is not None:
            await self.reranker.aclose()
        self.close()

    def close(self) -> None:
        """Ends the threads: work that runs is finished, work that waits is dropped."""
        self.ladder.sentences.close()
        for threads in (self.searchers, self.writers):
            threads.shutdown(wait=False, cancel_futures=True)


async def answer(ask: Ask, parts: Parts) -> AsyncGenerator[Event, None]:
    """Answers one question. Raises a TwofoldError before the first event, or ends in one Done.

    Only the ledger can still fail it after Meta: an answer that is not recorded is not Done.
    Closing this generator ends the model's call and leaves no record.
    """
    timer = RequestTimer(time.monotonic() + parts.stack.settings.deadline_s)
    meta = Meta(str(uuid4()), ask.conversation_id or str(uuid4()))
    with (
        metrics.ANSWER_IN_FLIGHT.track_inprogress(),
        bound_contextvars(answer_id=meta.answer_id),
        parts.flights.of(ask) as flight,
    ):
        context = await flight.going(prepare(ask, parts, timer))
        parts.flights.name(flight, ask.workspace, meta.conversation_id, meta.answer_id)
        yield meta
        result: ReplyResult | None = None
        with timer.step("generate"):
            async with aclosing(
                reply(context, parts, timer, meta.conversation_id, flight)
            ) as events:
                while (event := await flight.going(anext(events, None))) is not None:
                    if isinstance(event, ReplyResult):
                        result = event
                    else:
                        timer.spoke()
                        yield event
        assert result is not None  # noqa: S101  it comes last
        answered = _answered(meta, context, result, timer)
        until = timer.until + GRACE_S
        refused = threading.Event()
        write = partial(_write, ask, context, result, answered, parts, timer, until, refused)
        try:
            await _apart(until, write, parts.writers, parts.stack.ledger.watch)
        except TwofoldError:
            refused.set()
            raise
        timer.spoke()
        for event in _unsaid(result, answered):
            yield event
        yield Cited(answered.citations)
        yield Done(answered)


async def ask_once(ask: Ask, parts: Parts) -> Answered:
    """Returns the finished answer of one question."""
    async with aclosing(answer(ask, parts)) as events:
        async for event in events:
            if isinstance(event, Done):
                return event.answer
    raise AssertionError("a question ends in Done")


async def prepare(ask: Ask, parts: Parts, timer: RequestTimer) -> AnswerContext:
    """Searches, and hears what the witnesses say, before a word is written.

    Where only the search fails, returns a context that says so; raises any other TwofoldError.
    """
    ledger = parts.stack.ledger.watch
    async with parts.searches.place(timer.until):
        until = timer.share(SEARCH_SHARE)
        rerank = _reranking(parts, until)
        try:
            look = partial(_searched, ask, parts, timer, rerank)
            return await _apart(until, look, parts.searchers, ledger)
        except _NoSearch as error:
            failed = str(error)
            _log.warning("a search failed", step=timer.at, failed=failed, where=_places(error))
        except _TooLate:
            failed = "search: too slow"
            _log.warning("a search failed", step=timer.at, failed=failed)
        unsearched = partial(_unsearched, ask, parts, timer, failed)
        return await _apart(timer.until, unsearched, parts.writers, ledger)


async def find(ask: Ask, parts: Parts) -> Searched:
    """Returns the passages for a question. Raises what search raises."""
    until = time.monotonic() + parts.stack.settings.deadline_s
    async with parts.searches.place(until):
        rerank = _reranking(parts, until)

        def look() -> Searched:
            with _naming_what_failed():
                also = synonyms(parts.house.synonyms)
                return search(understand(ask, parts), parts.stack, rerank, also=also)

        ledger = parts.stack.ledger.watch
        return await _apart(until, look, parts.searchers, ledger, writing=False)


def reply(
    context: AnswerContext,
    parts: Parts,
    timer: RequestTimer,
    conversation: str,
    flight: Flight | None = None,
) -> AsyncGenerator[Acted | Delta | ReplyResult, None]:
    """Yields the reply while it is made, last its `ReplyResult`. Here is decided, once."""
    decide = partial(parts.decider.decide, context.heard)
    return parts.ladder.tell(context, decide, timer.until, conversation, flight)


def understand(ask: Ask, parts: Parts) -> Question:
    """Guards the message and recalls the conversation: returns the message, its language, the
    turns before it and whose sources the asker sees."""
    message = clean(ask.message, parts.stack.settings.max_question_chars)
    history = recall(parts.stack.ledger, ask)
    now = parts.clock()
    # Nobody may read what takes effect later, whatever day they name.
    as_of = min(ask.as_of, now) if ask.as_of is not None else as_of_in(message, now)
    before = (turn.text for turn in reversed(history) if turn.role == "user")
    return Question(
        asked=message,
        standalone=message,
        locale=ask.locale or detect_locale(message, parts.house.locales, before),
        scope=Scope(ask.workspace, int(as_of or now), ask.audiences),
        as_of=as_of,
        history=history,
    )


def _searched(ask: Ask, parts: Parts, timer: RequestTimer, rerank: Rerank | None) -> AnswerContext:
    with _naming_what_failed():
        with timer.step("condense"):
            question = understand(ask, parts)
        with _naming_search():
            also = synonyms(parts.house.synonyms)
            searched = search(question, parts.stack, rerank, timer.step, also)
            empty = not searched.found.candidates and not parts.stack.index.count()
        if empty:
            raise _NoSearch(NOTHING_INDEXED)
    with timer.step("decide"):
        heard = parts.decider.hear(searched)
        pinned = None
        if heard.settled is None and parts.approved is not None:
            with _naming_what_failed(), _naming_search():
                pinned = parts.approved.meeting(searched.question)
    context = AnswerContext(searched, Sources(searched.packed, searched.terms), heard, pinned)
    timer.found(context)
    return context


def _unsearched(ask: Ask, parts: Parts, timer: RequestTimer, failed: str) -> AnswerContext:
    """Returns the context of a question whose sources cannot be searched: the rules alone judge its
    words."""
    with _naming_what_failed(), timer.step("condense"):
        question = understand(ask, parts)
    found = Found((), np.empty(0, np.float32), SparseVector([], []))
    terms = Terms(parts.stack.sparse, question.locale, found)
    searched = Searched(question, found, (), terms, Evidence())
    heard = parts.decider.hear_unsearched(question, failed)
    return AnswerContext(searched, Sources((), terms), heard)


def _reranking(parts: Parts, until: float) -> Rerank | None:
    if parts.reranker is None:
        return None
    most = parts.stack.settings.reranker_s

    def seconds() -> float:
        return min(most, max(0.0, RERANK_SHARE * (until - time.monotonic())))

    return as_stage(parts.reranker, seconds)


def _answered(
    meta: Meta, context: AnswerContext, result: ReplyResult, timer: RequestTimer
) -> Answered:
    return Answered(
        answer_id=meta.answer_id,
        conversation_id=meta.conversation_id,
        action=result.decision.action,
        text=result.text,
        citations=result.citations,
        escalation=result.decision.escalation,
        served_by=result.served_by,
        as_of=context.question.as_of,
        timings=timer.timings,
    )


def _write(
    ask: Ask,
    context: AnswerContext,
    result: ReplyResult,
    answered: Answered,
    parts: Parts,
    timer: RequestTimer,
    until: float,
    refused: threading.Event,
) -> None:
    """Records the answer and, with it, a handoff's outbox row, before anything is promised to
    the customer."""
    stack = parts.stack
    with _naming_what_failed(), timer.step("record"):
        record(
            stack.ledger, ask, context.searched, result.draft, result.verified, result.decision,
            answered, stack.fingerprint.digest, until, refused,
        )  # fmt: skip
    if not ask.evaluation:
        timer.ended(result)
        _say(answered, result, logged=stack.settings.log_answers)


def _say(answered: Answered, result: ReplyResult, *, logged: bool) -> None:
    """Writes what the trace and, where it is `logged`, the log keep: none of its words."""
    trace.get_current_span().set_attributes(
        {"twofold.answer_id": answered.answer_id, genai.CONVERSATION: answered.conversation_id,
         "twofold.action": answered.action, "twofold.served_by": answered.served_by,
         "twofold.release": result.release}
    )  # fmt: skip
    if logged:
        to = answered.escalation
        _log.info(
            "answered",
            conversation_id=answered.conversation_id,
            action=answered.action,
            team=to.team if to else None,
            reason=to.reason if to else None,
            served_by=answered.served_by,
            release=result.release or None,
            citations=len(answered.citations),
            ms={step: round(s * 1000, 1) for step, s in answered.timings.items()},
        )


def _unsaid(result: ReplyResult, answered: Answered) -> Iterator[Acted | Delta]:
    """Yields what the customer has not received yet. A reply that was taken over acts again."""
    if result.acted != answered.action:
        yield Acted(answered.action, answered.escalation, answered.served_by)
    rest = answered.text[len(result.said) :]
    for piece in rest.splitlines(keepends=True):
        yield Delta(piece)


class _NoSearch(Exception):
    """Raised where index or embedder failed, or hold nothing; the message says which."""


class _TooLate(Unavailable):
    pass


def _places(error: _NoSearch) -> list[str]:
    """Returns where an error was raised; not its message, which may hold the question."""
    cause = error.__cause__
    frames = extract_tb(cause.__traceback__) if cause else []
    return [f"{frame.filename}:{frame.lineno}" for frame in frames][-FRAMES:]


async def _apart(
    until: float,
    work: Callable[[], T],
    threads: Executor,
    ledger: LedgerWatch,
    *,
    writing: bool = True,
) -> T:
    """Runs `work` in a thread of `threads`, and stops waiting for it at `until` (time.monotonic).

    Raises Unavailable as soon as the ledger is known not to answer: what cannot be recorded
    (`writing`) need not be found either.
    """
    ledger.check(writing=writing)
    loop = asyncio.get_running_loop()
    done = loop.run_in_executor(threads, partial(copy_context().run, work))
    try:
        while not done.done():
            left = until - time.monotonic()
            if left <= 0:
                raise _TooLate(SLOW)
            await asyncio.wait({done}, timeout=min(left, LOOK_EVERY_S))
            if not done.done():
                ledger.check(writing=writing)
        return done.result()
    finally:
        done.cancel()


@contextmanager
def _naming_what_failed() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        _log.error("the ledger failed", exc_info=error)
        raise Unavailable(NO_LEDGER) from error


@contextmanager
def _naming_search() -> Iterator[None]:
    """Turns whatever index and embedder raise, perhaps other machines, into a failed search."""
    try:
        yield
    except SQLAlchemyError:
        raise
    except Exception as error:
        slug = error.slug if isinstance(error, TwofoldError) else type(error).__name__
        raise _NoSearch(f"search: {slug}") from error
