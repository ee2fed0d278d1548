"""A model's reply told while it is written: each sentence as soon as it is known to hold."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace

from services.answer.contract import Decision, Draft, Verified
from services.answer.decide.decider import Decider
from services.answer.decide.wording import wording
from services.answer.events import Acted, Delta
from services.answer.generate import AnswerContext, Decide, Outcome, ReplyResult, Tried
from services.answer.generate.model import ModelMaker
from services.answer.verify import Verifier
from twofold.clients.chat import Usage
from twofold.errors import UpstreamError
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.reply import OURS, Action, ReplyParser
from twofold.text.statements import Statement, StatementStream


class Unheld(UpstreamError):
    """Raised where verification struck all that a model answered."""

    slug = "unheld"


class ReplyStream:
    """One reply of one model.

    ANSWER is said once its first supported sentence is there; a reply that turns out to have none
    has then promised nothing. `told` is set from the moment the customer has read a word.
    """

    def __init__(
        self,
        maker: ModelMaker,
        seen: AnswerContext,
        house: HousePolicy,
        decider: Decider,
        decide: Decide,
    ) -> None:
        self.told = False
        self.usage = Usage()
        self._maker = maker
        self._seen = seen
        self._house = house
        self._decider = decider
        self._decide = decide
        self._parser = ReplyParser(house.reason_teams, NOT_IN_SOURCES)
        self._statements = StatementStream()
        self._verifier = Verifier(seen.sources, house)
        self._decision: Decision | None = None
        self._raw = ""
        self._said = ""

    @property
    def begun(self) -> bool:
        return self.usage.pieces > 0

    async def run(self, *, deadline: float, first_by: float) -> AsyncGenerator[Acted | Delta, None]:
        """Yields what may be said. Raises UpstreamError or Overloaded where the model fails."""
        stream = self._maker.stream(
            self._seen, self.usage, self._worth, deadline=deadline, first_by=first_by
        )
        # After the request has gone out: the model takes longer for its first sentence than that.
        asyncio.get_running_loop().call_soon(self._seen.sources.read)
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                text = self._parser.feed(piece)
                if self._parser.header is None:
                    continue
                if self._settled().action not in ("ANSWER", "CLARIFY"):
                    return  # the house has the words for it; the rest need not be written
                self._raw += text
                for event in self._release(self._statements.feed(text)):
                    yield event
        rest = self._parser.finish()
        self._raw += rest
        self._settled()
        ready = [*self._statements.feed(rest), *self._statements.finish(cut=self.usage.cut)]
        for event in self._release(ready):
            yield event
        self._refuse_unheld()

    def _worth(self, piece: str) -> bool:
        return self._parser.header is None or self._statements.ripe(piece)

    def finished(self, now: float) -> ReplyResult:
        """Returns the reply's end, once `run` is through; `now` (epoch seconds) is for off-hours
        words."""
        decision, verified = self._settled(), self._verifier.verified()
        text = verified.text
        if decision.action == "CLARIFY" and decision.consent is None:
            decision = replace(decision, choices=decision.choices or self._named())
        if decision.action != "ANSWER":
            text = self._wording(decision, now)
        elif offer := self._decider.offering(decision, self._seen.question):
            decision = replace(decision, signals={**decision.signals, OURS: [offer]})
            text += f"\n\n{offer}"
        return self._as_told(decision, text, verified)

    def broken(self, why: str, now: float) -> ReplyResult:
        """Returns the reply's end where the model fell silent after the customer read a part of
        it: a person takes over."""
        verified = self._verifier.verified()
        decision = self._decider.nothing_to_show(self._seen.heard, why)
        closing = self._wording(decision, now)
        return self._as_told(decision, f"{verified.text}\n\n{closing}", verified)

    def tried(self, outcome: Outcome) -> Tried:
        """Returns what metrics record of the model's try."""
        header, repairs = self._parser.header, len(self._parser.repairs)
        return Tried(
            self._maker.lane,
            self._maker.step,
            outcome,
            self.usage,
            self._verifier.struck,
            repairs,
            header.action if header else None,
        )

    def draft(self) -> Draft:
        header = self._parser.header
        return Draft(
            action=header.action if header else "ANSWER",
            text=self._raw.strip(),
            served_by=self._maker.step,
            escalation=header.escalation if header else None,
            repairs=tuple(self._parser.repairs),
            profile=self._maker.profile,
            release=self._maker.model.model,
            prompt_tokens=self.usage.prompt_tokens,
            completion_tokens=self.usage.written,
        )

    def _as_told(self, decision: Decision, text: str, verified: Verified) -> ReplyResult:
        maker = self._maker
        lane = {"lane": maker.lane} if maker.lane else {}
        signals = {**decision.signals, "model": maker.model.model, **lane}
        decision = replace(decision, signals=signals)
        acted: Action | None = "ANSWER" if self.told else None
        return ReplyResult(
            decision, text, self._maker.step, self.draft(), verified, acted, self._said
        )  # fmt: skip

    def _settled(self) -> Decision:
        if self._decision is None:
            assert self._parser.header is not None  # noqa: S101  asked for once it is there
            self._decision = self._decide(self._parser.header)
        return self._decision

    def _release(self, ready: Iterable[Statement]) -> list[Acted | Delta]:
        for statement in ready:
            self._verifier.take(statement)
        if self._settled().action != "ANSWER" or not self._verifier.supported:
            return []
        events: list[Acted | Delta] = []
        if not self.told:
            self.told = True
            events.append(Acted("ANSWER", None, self._maker.step))
        if added := self._verifier.text[len(self._said) :]:
            self._said += added
            events.append(Delta(added))
        return events

    def _refuse_unheld(self) -> None:
        """Raises where verification held no sentence of an answer: the next step of the ladder
        makes one."""
        if self._settled().action == "ANSWER" and not self._verifier.supported:
            raise Unheld("No sentence of the model's reply stands in what it cites.")

    def _named(self) -> tuple[str, ...]:
        """Returns the titles of packed documents that the model's question names. Only these are
        taken from it: a question in its own words could ask for anything."""
        asked = self._raw.lower()
        titles = dict.fromkeys(candidate.chunk.title for candidate in self._seen.packed)
        return tuple(title for title in titles if title and title.lower() in asked)

    def _wording(self, decision: Decision, now: float) -> str:
        return wording(self._house, decision, self._seen.question, now)
