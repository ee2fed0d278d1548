"""A question's way: guard, condense, retrieve, rerank, pack, generate, verify, decide, record."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar
from uuid import uuid4

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.answer.condense import as_of_in, condense
from services.answer.contract import Ask, Found, Question
from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.generate import Seen, Told
from services.answer.generate.ladder import Ladder
from services.answer.guard import clean, detect_locale
from services.answer.pack import Terms, pack
from services.answer.record import recall, record
from services.answer.rerank import rerank
from services.answer.retrieve import retrieve
from services.answer.verify import Sources
from services.answer.watch import Watch
from twofold import metrics
from twofold.clients.rerank import Reranker
from twofold.errors import SetupError, TwofoldError, UpstreamError
from twofold.house import HousePolicy
from twofold.index import Scope
from twofold.stack import Stack

T = TypeVar("T")

GRACE_S = 2.0
"""Past its deadline an answer still has this long to be recorded: without it, it is lost."""
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
            async with aclosing(parts.ladder.tell(seen, watch.until)) as said:
                async for event in said:
                    if not isinstance(event, Told):
                        watch.spoke()
                        yield event
        told = event
        assert isinstance(told, Told)  # noqa: S101  it comes last
        answered = _answered(meta, seen, told, watch)
        write = partial(_write, ask, seen, told, answered, parts, watch)
        await _apart(watch.until + GRACE_S, write)
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

    Raises a TwofoldError.
    """
    if parts.reranker is None:
        return await _apart(watch.until, lambda: _search_and_weigh(ask, parts, watch))
    question, found = await _apart(watch.until, lambda: _search(ask, parts, watch))
    with watch.step("rerank"):
        seconds = parts.stack.settings.reranker_s
        found = await rerank(question.standalone, found, parts.reranker, seconds)
    return await _apart(watch.until, lambda: _weigh(question, found, parts, watch))


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
        terms = Terms(parts.stack.sparse, question.locale, found)
        settings = parts.stack.settings
        packed, evidence = pack(found, terms, settings.context_chunks, settings.context_chars)
    with watch.step("decide"):
        rules = parts.decider.before(question, found.vector)
        verdict = parts.decider.after(question, found, evidence, rules)
    sources = Sources(packed, terms)
    if rules is None and parts.ladder.models:
        sources.read()
    seen = Seen(question, found, packed, terms, sources, evidence, rules, verdict)
    watch.found(seen)
    return seen


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
    ask: Ask, seen: Seen, told: Told, answered: Answered, parts: Parts, watch: Watch
) -> None:
    """The record, and with it a handoff's outbox row: before any promise to the customer."""
    stack = parts.stack
    with _naming_what_failed(), watch.step("record"):
        record(
            stack.ledger, ask, seen.question, seen.found, seen.packed, told.draft, told.verified,
            told.decision, answered, stack.fingerprint.digest,
        )  # fmt: skip
    watch.ended(told)


def _unsaid(told: Told, answered: Answered) -> Iterator[Acted | Delta]:
    """What the customer has not read yet. A reply that broke off is taken over: it acts again."""
    if told.acted != answered.action:
        yield Acted(answered.action, answered.escalation, answered.served_by)
    rest = answered.text[len(told.said) :]
    for piece in rest.splitlines(keepends=True):
        yield Delta(piece)


async def _apart(until: float, work: Callable[[], T]) -> T:
    """`work` in a thread of its own; what still runs at `until` (time.monotonic) is left alone."""
    try:
        async with asyncio.timeout(max(0.0, until - time.monotonic())):
            return await asyncio.to_thread(work)
    except TimeoutError as error:
        raise UpstreamError("Search or ledger took too long. Ask again in a moment.") from error


@contextmanager
def _naming_what_failed() -> Iterator[None]:
    try:
        yield
    except TwofoldError:
        raise
    except SQLAlchemyError as error:
        _log.error("the ledger failed", exc_info=error)
        raise SetupError("The ledger does not answer. Ask again in a moment.") from error


@contextmanager
def _naming_search() -> Iterator[None]:
    """Index and embedder may be other machines: whatever they raise is their failure, not ours."""
    try:
        yield
    except (TwofoldError, SQLAlchemyError):
        raise
    except Exception as error:
        _log.error("search failed", exc_info=error)
        raise UpstreamError("Search does not answer. Ask again in a moment.") from error
