"""The degradation ladder: tuned adapter, base model, composer, a person. No question falls off."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from services.answer.contract import Decision, Verified
from services.answer.crowd import Crowd
from services.answer.decide import Decider
from services.answer.events import Acted, Delta
from services.answer.generate import Seen, Told
from services.answer.generate.compose import SERVED_BY, compose
from services.answer.generate.header import gap
from services.answer.generate.model import ModelMaker
from services.answer.generate.telling import Telling
from services.answer.verify import verify
from twofold.clients.chat import ChatModel, ModelServer
from twofold.errors import SetupError, TwofoldError
from twofold.house import HousePolicy
from twofold.settings import Settings

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

    async def tell(self, seen: Seen, until: float) -> AsyncGenerator[Acted | Delta | Told, None]:
        """What may be said while the reply is made, and at the end how it ended, by `until`.

        Never raises for a step that fails: the next one is asked, and `Told` names each in
        `decision.signals["ladder"]`.
        """
        down: list[str] = []
        if seen.rules is None and seen.packed:
            for maker in self.models:
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
                    down.append(f"{maker.step}: {_kind(error)}")
                else:
                    yield _noting(told, down)
                    return
                if telling.told:
                    yield _noting(telling.broken("the model broke off", self.clock()), down)
                    return
                if telling.begun:
                    break  # no model is asked again after its first token
        yield _noting(await asyncio.to_thread(self._without_model, seen, down), down)

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
            question, terms = seen.question.standalone, seen.terms
            draft = compose(seen.packed, question, terms, self.house.style.max_words)
            verified = verify(draft, seen.packed, terms, self.house)
        if verified.citations:
            return Told(decision, verified.text, SERVED_BY, draft, verified)
        if decision.action == "ANSWER":
            why = "nothing that could be cited was left"
            decision = gap(seen, why, self.house, self.decider)
        return Told(decision, self._wording(decision, seen), SERVED_BY, draft, verified)

    def _wording(self, decision: Decision, seen: Seen) -> str:
        return self.decider.wording(decision, seen.question.locale, self.clock())

    def _times(self, until: float) -> dict[str, float]:
        left = until - time.monotonic()
        deadline = until - min(RESERVE_S, RESERVE_SHARE * left)
        return {"deadline": deadline, "first_by": min(deadline, self._first_by(until))}

    def _first_by(self, until: float) -> float:
        now = time.monotonic()
        return now + FIRST_TOKEN_SHARE * (until - now)


def open_ladder(settings: Settings, house: HousePolicy, decider: Decider) -> Ladder:
    """The steps that `settings` name. Raises SetupError where a server has no model to ask for."""
    calls = Crowd(settings.model_calls, settings.model_queue, "The models have all they can do.")
    return Ladder(house, decider, tuple(_makers(settings, house)), calls)


def _makers(settings: Settings, house: HousePolicy) -> Iterator[ModelMaker]:
    if not settings.model_url:
        return
    if not (settings.model_name or settings.model_adapter):
        raise SetupError("TWOFOLD_MODEL_URL needs TWOFOLD_MODEL_NAME: which model to ask there.")
    # Callers write the address as their tool wants it, with and without the version.
    url = settings.model_url.rstrip("/").removesuffix("/v1")
    server = ModelServer(url, settings.model_key.get_secret_value())
    secret = settings.server_secret.get_secret_value().encode() or secrets.token_bytes(32)
    for step, name in (("tuned", settings.model_adapter), ("base", settings.model_name)):
        if name:
            model = ChatModel(server, name, settings.model_first_token_s)
            yield ModelMaker("tuned" if step == "tuned" else "base", model, house, secret)


def _noting(told: Told, down: list[str]) -> Told:
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
