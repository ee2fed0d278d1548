"""The degradation ladder: tuned adapter, base model, composer, a person. No question falls off."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from services.answer.contract import Decision, Verified
from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.events import Acted, Delta
from services.answer.generate import Lane, Seen, Told, Tried
from services.answer.generate.compose import SERVED_BY, Wanted, compose
from services.answer.generate.header import gap
from services.answer.generate.model import ModelMaker, Step
from services.answer.generate.releases import Releases
from services.answer.generate.sentences import Sentences
from services.answer.generate.telling import Telling
from services.answer.verify import verify
from twofold.clients.chat import ChatModel, ModelServer
from twofold.errors import SetupError, TwofoldError
from twofold.house import HousePolicy
from twofold.stack import Stack

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
    calls: Crowd = field(default_factory=lambda: Crowd(32, 16, "The models have all they can do."))
    clock: Callable[[], float] = time.time
    releases: Releases | None = None
    """What the registry has in service stands above `models`."""
    sentences: Sentences = field(default_factory=Sentences)

    async def tell(
        self, seen: Seen, until: float, conversation: str
    ) -> AsyncGenerator[Acted | Delta | Told, None]:
        """What may be said while the reply is made, and at the end how it ended, by `until`.

        Never raises for a step that fails: the next one is asked, and `Told` names each in
        `decision.signals["ladder"]`.
        """
        down: list[str] = []
        tried: list[Tried] = []
        if seen.rules is None and seen.packed:
            for maker in await self._makers(conversation):
                telling = Telling(maker, seen, self.house, self.decider)
                try:
                    async with (
                        self.calls.place(self._first_by(until)),
                        aclosing(telling.run(**self._times(until))) as said,
                    ):
                        async for each in said:
                            yield each
                    told = telling.finished(self.clock())
                except Exception as error:
                    down.append(f"{maker.lane or maker.step}: {_kind(error)}")
                    tried += telling.tried("broke_off" if telling.told else "failed")
                else:
                    tried += telling.tried("served")
                    yield _noting(told, down, tried)
                    return
                if telling.told:
                    told = telling.broken("the model broke off", self.clock())
                    yield _noting(told, down, tried)
                    return
                if telling.begun:
                    break  # no model is asked again after its first token
        told = await asyncio.to_thread(self._without_model, seen, down)
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

    def _without_model(self, seen: Seen, down: list[str]) -> Told:
        try:
            return self._composed(seen)
        except Exception as error:
            down.append(f"{SERVED_BY}: {_kind(error)}")
            decision = gap(seen, "no reply could be made", self.house, self.decider)
            return Told(decision, self._wording(decision, seen), ESCALATION)

    def _composed(self, seen: Seen) -> Told:
        decision, draft, verified = seen.verdict, None, Verified("", (), ())
        if decision.action == "ANSWER" and seen.packed:
            terms = seen.terms
            wanted = Wanted(seen.question, seen.found.vector, terms, self.sentences)
            draft = compose(seen.packed, wanted, self.house.style.max_words)
            verified = verify(draft, seen.packed, terms, self.house)
        if verified.citations:
            return Told(decision, verified.text, SERVED_BY, draft, verified)
        if decision.action == "ANSWER":
            why = "nothing that could be cited was left"
            decision = gap(seen, why, self.house, self.decider)
        step = ESCALATION if "failed" in decision.signals else SERVED_BY
        return Told(decision, self._wording(decision, seen), step, draft, verified)

    def _wording(self, decision: Decision, seen: Seen) -> str:
        return self.decider.wording(decision, seen.question, self.clock())

    def _times(self, until: float) -> dict[str, float]:
        left = until - time.monotonic()
        deadline = until - min(RESERVE_S, RESERVE_SHARE * left)
        return {"deadline": deadline, "first_by": min(deadline, self._first_by(until))}

    def _first_by(self, until: float) -> float:
        now = time.monotonic()
        return now + FIRST_TOKEN_SHARE * (until - now)


def open_ladder(stack: Stack, house: HousePolicy, decider: Decider) -> Ladder:
    """The steps that `settings` and the registry name. Raises SetupError where a server has no
    model to ask for."""
    settings, sentences = stack.settings, Sentences(stack.embedder)
    calls = Crowd(settings.model_calls, settings.model_queue, "The models have all they can do.")
    if not settings.model_url:
        return Ladder(house, decider, calls=calls, sentences=sentences)
    if not (settings.model_name or settings.model_adapter):
        raise SetupError("TWOFOLD_MODEL_URL needs TWOFOLD_MODEL_NAME: which model to ask there.")
    # Callers write the address as their tool wants it, with and without the version.
    url = settings.model_url.rstrip("/").removesuffix("/v1")
    server = ModelServer(url, settings.model_key.get_secret_value())
    secret = settings.server_secret.get_secret_value().encode() or secrets.token_bytes(32)

    def make(step: Step, name: str, lane: Lane | None = None) -> ModelMaker:
        return ModelMaker(
            step, ChatModel(server, name, settings.model_first_token_s), house, secret, lane
        )

    base = (make("base", settings.model_name),) if settings.model_name else ()
    if settings.model_adapter:
        models = (make("tuned", settings.model_adapter), *base)
        return Ladder(house, decider, models, calls, sentences=sentences)
    releases = Releases(stack.ledger, house, partial(make, "tuned"))
    return Ladder(house, decider, base, calls, releases=releases, sentences=sentences)


def _noting(told: Told, down: list[str], tried: list[Tried]) -> Told:
    told.tried = tuple(tried)
    if down:
        signals = told.decision.signals | {"ladder": list(down)}
        told.decision = replace(told.decision, signals=signals)
    return told


def _kind(error: Exception) -> str:
    """The error in one word; one that nobody foresaw is logged, and costs a step, not a reply."""
    if isinstance(error, TwofoldError):
        return error.slug
    _log.error("a reply maker failed", exc_info=error)
    return type(error).__name__
