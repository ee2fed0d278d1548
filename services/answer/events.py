"""What answering a question says as it goes, in this order: Meta, Acted, Delta*, Cited, Done."""

from dataclasses import dataclass, field

from twofold.reply import Action, Citation, Escalation


@dataclass(frozen=True, slots=True)
class Meta:
    """The question is accepted: from here on it ends in exactly one `Done`."""

    answer_id: str
    conversation_id: str


@dataclass(frozen=True, slots=True)
class Acted:
    """What the reply does, known before its first word."""

    action: Action
    escalation: Escalation | None
    served_by: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the text; the pieces joined are `Answered.text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The finished answer. `as_of` is epoch seconds; `timings` are seconds by step."""

    answer_id: str
    conversation_id: str
    action: Action
    text: str
    citations: tuple[Citation, ...]
    escalation: Escalation | None
    served_by: str
    as_of: float | None = None
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    answer: Answered


Event = Meta | Acted | Delta | Cited | Done
