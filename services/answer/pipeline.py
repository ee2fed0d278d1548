"""A question's way: guard, condense, retrieve, pack, generate, verify, decide, record."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from services.answer.condense import as_of_in, condense
from services.answer.contract import Ask, Decision, Question, Verified
from services.answer.decide import Decider
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.generate.compose import SERVED_BY, compose
from services.answer.guard import clean, detect_locale
from services.answer.pack import Terms, pack
from services.answer.record import recall, record
from services.answer.retrieve import retrieve
from services.answer.verify import verify
from twofold.house import NOT_IN_SOURCES, HousePolicy
from twofold.index import Scope
from twofold.reply import Escalation
from twofold.stack import Stack


@dataclass(frozen=True, slots=True)
class Parts:
    """What answering needs, made once per process."""

    stack: Stack
    house: HousePolicy
    decider: Decider
    clock: Callable[[], float] = time.time


@dataclass(slots=True)
class Trace:
    """Seconds spent in each step."""

    timings: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.timings[name] = time.perf_counter() - started


async def answer(ask: Ask, parts: Parts) -> AsyncIterator[Event]:
    """Answer one question. Raises a TwofoldError before the first event, or ends in one Done."""
    question = await asyncio.to_thread(understand, ask, parts)
    answer_id, conversation_id = str(uuid4()), ask.conversation_id or str(uuid4())
    yield Meta(answer_id, conversation_id)
    answered = await asyncio.to_thread(_reply, ask, question, parts, answer_id, conversation_id)
    yield Acted(answered.action, answered.escalation, answered.served_by)
    for piece in _pieces(answered.text):
        yield Delta(piece)
    yield Cited(answered.citations)
    yield Done(answered)


async def ask_once(ask: Ask, parts: Parts) -> Answered:
    """The finished answer of one question."""
    async for event in answer(ask, parts):
        if isinstance(event, Done):
            return event.answer
    raise AssertionError("a question ends in Done")


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


def _reply(
    ask: Ask, question: Question, parts: Parts, answer_id: str, conversation_id: str
) -> Answered:
    trace, stack, house = Trace(), parts.stack, parts.house
    with trace.step("retrieve"):
        found = retrieve(question, stack)
    with trace.step("pack"):
        terms = Terms(stack.sparse, question.locale, found)
        packed, evidence = pack(found, terms)
    with trace.step("generate"):
        draft = (
            compose(packed, question.standalone, terms, house.style.max_words) if packed else None
        )
    with trace.step("verify"):
        verified = verify(draft, packed, terms, house) if draft else Verified("", (), ())
    with trace.step("decide"):
        decision = parts.decider.after(
            question, found, evidence, parts.decider.before(question, found.vector)
        )
        if decision.action == "ANSWER" and not verified.citations:
            decision = _gap(decision, house)
    answers = decision.action == "ANSWER"
    wording = parts.decider.wording(decision, question.locale, parts.clock())
    answered = Answered(
        answer_id=answer_id,
        conversation_id=conversation_id,
        action=decision.action,
        text=verified.text if answers else wording,
        citations=verified.citations if answers else (),
        escalation=decision.escalation,
        served_by=SERVED_BY,
        as_of=question.as_of,
        timings=trace.timings,
    )
    with trace.step("record"):
        record(
            stack.ledger, ask, question, found, packed, draft, verified, decision, answered,
            stack.fingerprint.digest,
        )  # fmt: skip
    return answered


def _gap(decision: Decision, house: HousePolicy) -> Decision:
    team = house.reasons[NOT_IN_SOURCES].team
    return Decision(
        "ESCALATE",
        Escalation(team, NOT_IN_SOURCES),
        "nothing that could be cited was left",
        decision.signals,
    )


def _pieces(text: str) -> Iterator[str]:
    """The text in lines, as a stream shows it."""
    yield from text.splitlines(keepends=True)
