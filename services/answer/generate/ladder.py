"""The degradation ladder: an approved answer, tuned adapter, base model, composer, a person. No
question falls off."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import structlog

from services.answer.access.bulkhead import Bulkhead
from services.answer.access.flights import Flight
from services.answer.contract import Decision, Draft, Verified
from services.answer.decide.decider import Decider
from services.answer.decide.wording import from_the_sources, in_doubt, wording
from services.answer.events import Acted, Delta
from services.answer.generate import (
    AnswerContext,
    Decide,
    Lane,
    Outcome,
    Pinned,
    ReplyResult,
    Step,
    Tried,
)
from services.answer.generate.composer import SERVED_BY, compose, fold_marks
from services.answer.generate.model import ModelMaker
from services.answer.generate.releases import Releases
from services.answer.generate.sentences import Sentences
from services.answer.generate.stream import ReplyStream, Unheld
from services.answer.verify import verify
from twofold import metrics
from twofold.clients.chat import ChatModel, ModelServer, server_root
from twofold.errors import SetupError, TwofoldError
from twofold.policy import HousePolicy
from twofold.reply import OURS
from twofold.stack import Stack

APPROVED = "approved"
"""`served_by` of what people pinned to the question."""
ESCALATION = "escalation"
"""`served_by` of a reply that nobody could make."""
FIRST_TOKEN_SHARE = 0.5
"""Of the time left, a step that has another below it may wait this much for a first token."""
RESERVE_S = 0.5
RESERVE_SHARE = 0.1
"""Kept of the time left (the lesser of both) for what stands below the models: it is quick."""

_log = structlog.get_logger("twofold.ladder")


@dataclass(frozen=True, slots=True)
class Ladder:
    """Reply makers in the order they are asked. Without models it begins at the composer."""

    house: HousePolicy
    decider: Decider
    models: tuple[ModelMaker, ...] = ()
    calls: Bulkhead = field(
        default_factory=lambda: Bulkhead(32, 16, "The models have all they can do.")
    )
    clock: Callable[[], float] = time.time
    releases: Releases | None = None
    """What the registry has in service stands above `models`."""
    sentences: Sentences = field(default_factory=Sentences)

    async def tell(
        self,
        seen: AnswerContext,
        decide: Decide,
        until: float,
        conversation: str,
        flight: Flight | None = None,
    ) -> AsyncGenerator[Acted | Delta | ReplyResult, None]:
        """Yields what may be said while the reply is made, and at the end how it ended, by `until`.

        `decide` is called once for the reply that is told: at a model's header, or before the
        composer. Never raises for a step that fails: the next one is asked, and each that failed is
        named in `decision.signals["ladder"]`. A reply whose reader stops its `flight` ends with the
        sentence that it has come to.
        """
        if seen.pinned is not None:
            yield _pinned(seen.pinned, seen.heard.signals)
            return
        down: list[str] = []
        tried: list[Tried] = []
        if seen.heard.settled is None and seen.packed:
            for maker in await self._makers(conversation):
                telling = ReplyStream(maker, seen, self.house, self.decider, decide)
                try:
                    async with (
                        self.calls.place(self._first_by(until)),
                        aclosing(telling.run(**self._times(until))) as said,
                    ):
                        async for each in said:
                            yield each
                            if flight is not None and flight.ending is not None:
                                break
                    told = telling.finished(self.clock())
                except asyncio.CancelledError:
                    if flight is None or not telling.told or not flight.took_it():
                        raise
                    told = telling.finished(self.clock())
                    tried.append(telling.tried("served"))
                    yield _noting(told, down, tried)
                    return
                except Exception as error:
                    down.append(f"{maker.lane or maker.step}: {_kind(error)}")
                    tried.append(telling.tried(_outcome(error, told=telling.told)))
                else:
                    tried.append(telling.tried("served"))
                    yield _noting(told, down, tried)
                    return
                if telling.told:
                    told = telling.broken("the model broke off", self.clock())
                    yield _noting(told, down, tried)
                    return
                if telling.begun:
                    break  # no model is asked again after its first token
        told = await asyncio.to_thread(self._without_model, seen, decide, until, down)
        yield _noting(told, down, tried)

    async def _makers(self, conversation: str) -> tuple[ModelMaker, ...]:
        if self.releases is None:
            return self.models
        return (*await self.releases.makers(conversation), *self.models)

    async def aclose(self) -> None:
        for server in {
            id(maker.model.server): maker.model.server for maker in self.models
        }.values():
            await server.aclose()

    def _without_model(
        self, seen: AnswerContext, decide: Decide, until: float, down: list[str]
    ) -> ReplyResult:
        try:
            return self._composed(seen, decide(None), until)
        except Exception as error:
            down.append(f"{SERVED_BY}: {_kind(error)}")
            decision = self.decider.nothing_to_show(seen.heard, "no reply could be made")
            return ReplyResult(decision, self._wording(decision, seen), ESCALATION)

    def _composed(self, seen: AnswerContext, decision: Decision, until: float) -> ReplyResult:
        draft, verified = None, Verified("", (), ())
        meanwhile = self.decider.helps_meanwhile(decision, seen.searched)
        if (decision.action == "ANSWER" or meanwhile) and seen.packed:
            try:
                draft, verified = self._from_sources(seen, until)
            except Exception as error:
                if not meanwhile:
                    raise
                _log.error("nothing is told below a hand-over", exc_info=error)
            if draft is not None and draft.repairs:
                repairs = {"composer": list(draft.repairs)}
                decision = replace(decision, signals={**decision.signals, **repairs})
            if meanwhile and not verified.citations:
                draft = None
        above: list[str] = []
        below: list[str] = []
        if draft is not None and verified.citations:
            if meanwhile:
                above = [self._wording(decision, seen), from_the_sources(seen.question.locale)]
            elif draft.unanswered or draft.doubtful:
                decision, said = self.decider.answering_in_part(decision, draft, seen.question)
                doubt = in_doubt(draft.doubtful, seen.question)
                above, below = [doubt] * bool(doubt), [said]
            elif offer := self.decider.offering(decision, seen.question):
                below = [offer]
            if ours := [*draft.dated, *above, *below]:
                decision = replace(decision, signals={**decision.signals, OURS: ours})
            text = "\n\n".join((*above, fold_marks(verified.text), *below))
            return ReplyResult(decision, text, SERVED_BY, draft, verified)
        if decision.action == "ANSWER":
            why = "nothing that could be cited was left"
            decision = self.decider.nothing_to_show(seen.heard, why)
        step = SERVED_BY if decision.searched else ESCALATION
        return ReplyResult(decision, self._wording(decision, seen), step, draft, verified)

    def _from_sources(self, seen: AnswerContext, until: float) -> tuple[Draft, Verified]:
        house = self.house
        draft = compose(
            seen.searched, self.sentences, house.style.max_words, until, house.hours.zone
        )
        return draft, verify(draft, seen.packed, seen.searched.terms, house)

    def _wording(self, decision: Decision, seen: AnswerContext) -> str:
        return wording(self.house, decision, seen.question, self.clock())

    def _times(self, until: float) -> dict[str, float]:
        left = until - time.monotonic()
        deadline = until - min(RESERVE_S, RESERVE_SHARE * left)
        return {"deadline": deadline, "first_by": min(deadline, self._first_by(until))}

    def _first_by(self, until: float) -> float:
        now = time.monotonic()
        return now + FIRST_TOKEN_SHARE * (until - now)


def open_ladder(stack: Stack, house: HousePolicy, decider: Decider) -> Ladder:
    """Returns the steps that `settings` and the registry name. Raises SetupError where a server
    has no model to ask for."""
    settings, sentences = stack.settings, Sentences(stack.embedder)
    calls = Bulkhead(settings.model_calls, settings.model_queue, "The models have all they can do.")
    if not settings.model_url:
        return Ladder(house, decider, calls=calls, sentences=sentences)
    if not (settings.model_name or settings.model_adapter):
        raise SetupError("TWOFOLD_MODEL_URL needs TWOFOLD_MODEL_NAME: which model to ask there.")
    key = settings.model_key.get_secret_value()
    server = apart = ModelServer(server_root(settings.model_url), key)
    if settings.model_adapter_url:
        apart = ModelServer(server_root(settings.model_adapter_url), key)
    secret = settings.server_secret.get_secret_value().encode() or secrets.token_bytes(32)

    def make(
        step: Step, name: str, lane: Lane | None = None, at: ModelServer = server
    ) -> ModelMaker:
        metrics.BEHAVIOUR_SERVED.labels(step, name)  # there before its first reply
        model = ChatModel(at, name, settings.model_first_token_s)
        return ModelMaker(step, model, house, secret, lane)

    base = (make("base", settings.model_name),) if settings.model_name else ()
    if settings.model_adapter:
        models = (make("tuned", settings.model_adapter, at=apart), *base)
        return Ladder(house, decider, models, calls, sentences=sentences)
    releases = Releases(stack.ledger, house, partial(make, "tuned"))
    return Ladder(house, decider, base, calls, releases=releases, sentences=sentences)


def _pinned(pinned: Pinned, signals: Mapping[str, Any]) -> ReplyResult:
    """Returns the approved answer, word for word: people verified it."""
    why = "people approved this answer to a question that means the same"
    decision = Decision("ANSWER", None, why, {**signals, "approved": pinned.id})
    verified = Verified(pinned.text, pinned.citations, ())
    return ReplyResult(decision, pinned.text, APPROVED, verified=verified)


def _noting(told: ReplyResult, down: list[str], tried: list[Tried]) -> ReplyResult:
    told.tried = tuple(tried)
    if down:
        signals = {**told.decision.signals, "ladder": list(down)}
        told.decision = replace(told.decision, signals=signals)
    return told


def _outcome(error: Exception, *, told: bool) -> Outcome:
    if isinstance(error, Unheld):
        return "replaced"
    return "broke_off" if told else "failed"


def _kind(error: Exception) -> str:
    """Returns the error's kind in one word; an unforeseen error is logged, and costs a step, not
    the reply."""
    if isinstance(error, TwofoldError):
        return error.slug
    _log.error("a reply maker failed", exc_info=error)
    return type(error).__name__
