"""Reply makers: each turns a question and its packed chunks into a draft."""

from dataclasses import dataclass, field

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

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Of what the text says; a fixed sentence of the house cites nothing."""
        return self.verified.citations if self.decision.action == "ANSWER" or self.said else ()
