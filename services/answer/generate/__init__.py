"""Reply makers: each turns a question and its packed chunks into a draft."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from services.answer.contract import Candidate, Decision, Draft, Question, Verified
from services.answer.decide.decider import Witnesses
from services.answer.search import Searched
from services.answer.verify import Sources
from twofold.clients.chat import Usage
from twofold.reply import Action, Citation, Header

Step = Literal["tuned", "base"]
Lane = Literal["live", "canary"]
"""Which of the registry's releases a model is."""
Outcome = Literal["served", "failed", "broke_off", "replaced"]
Decide = Callable[[Header | None], Decision]
"""The decider, asked for one reply: with the header of a model's, or without a model."""


class Pinned(NamedTuple):
    """An approved answer that the question gets word for word; `id` is the approval's."""

    id: str
    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class AnswerContext:
    """What is known of a question once the sources were read: all that a reply is made from."""

    searched: Searched
    sources: Sources
    heard: Witnesses
    pinned: Pinned | None = None

    @property
    def question(self) -> Question:
        return self.searched.question

    @property
    def packed(self) -> tuple[Candidate, ...]:
        return self.searched.packed


class Tried(NamedTuple):
    """What a model did with a question; `failed`: another one was asked; `replaced`: verification
    held nothing of it. A lane is the registry's: None is a model that settings name. `struck` are
    the problems of the sentences that verification took out, `repairs` counts what was mended of
    the contract: also of a reply that nobody was told. `action` is what its header chose."""

    lane: Lane | None
    step: Step
    outcome: Outcome
    usage: Usage
    struck: tuple[str, ...] = ()
    repairs: int = 0
    action: Action | None = None


@dataclass(slots=True)
class ReplyResult:
    """How a reply ended. `said` of `text` has reached the customer already, as an `acted` reply."""

    decision: Decision
    text: str
    served_by: str
    draft: Draft | None = None
    verified: Verified = field(default_factory=lambda: Verified("", (), ()))
    acted: Action | None = None
    said: str = ""
    tried: tuple[Tried, ...] = ()

    @property
    def release(self) -> str:
        """Name of the model or adapter that wrote it; empty where none did."""
        return self.draft.release if self.draft else ""

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Of what the text says; a fixed sentence of the house cites nothing."""
        cited = self.verified.citations
        if self.decision.action == "ANSWER" or self.said:
            return cited
        return tuple(each for each in cited if f"[{each.n}]" in self.text)
