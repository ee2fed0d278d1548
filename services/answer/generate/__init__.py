"""Reply makers: each turns a question and its packed chunks into a draft."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from services.answer.contract import (
    Candidate,
    Decision,
    Draft,
    Evidence,
    Found,
    Question,
    Verified,
)
from services.answer.pack import Terms
from services.answer.verify import Sources
from twofold.reply import Action, Citation

Lane = Literal["live", "canary"]
"""Which of the registry's releases a model is."""
Outcome = Literal["served", "failed", "broke_off"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a question once the sources were read: all that a reply is made from.

    `rules` is what no source could change; `verdict` what the evidence says where no model judges.
    """

    question: Question
    found: Found
    packed: tuple[Candidate, ...]
    terms: Terms
    sources: Sources
    evidence: Evidence
    rules: Decision | None
    verdict: Decision


class Tried(NamedTuple):
    """What a release of the registry did with a question; `failed`: another one was asked."""

    lane: Lane
    outcome: Outcome
    first_token_s: float | None


@dataclass(slots=True)
class Told:
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
    def citations(self) -> tuple[Citation, ...]:
        """Of what the text says; a fixed sentence of the house cites nothing."""
        return self.verified.citations if self.decision.action == "ANSWER" or self.said else ()
