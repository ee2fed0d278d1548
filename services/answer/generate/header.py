"""The model's own judgement, heard beside the rules and the evidence."""

from dataclasses import replace

from services.answer.contract import Decision, Question
from services.answer.costs import ANSWERABLE
from services.answer.decide import Decider
from services.answer.generate import Seen
from services.answer.rules import consent_asked
from twofold.house import NOT_IN_SOURCES, HousePolicy
from twofold.reply import Escalation, Header

HOPELESS = 0.1
"""Below this probability that the sources answer, a model's ANSWER is not believed."""


def settle(header: Header, seen: Seen, house: HousePolicy, decider: Decider) -> Decision:
    """What the reply does, given what the model wants it to do. Rules were heard before it."""
    signals = seen.verdict.signals | {"header": header.action}
    if header.action == "ANSWER":
        if seen.verdict.action != "ANSWER" and _answerable(seen) < HOPELESS:
            return replace(seen.verdict, signals=signals)
        return Decision("ANSWER", None, "the model answers, the evidence allows it", signals)
    if header.escalation is None:
        return Decision(header.action, None, f"the model chose {header.action}", signals)
    return _hand_over(header.escalation, seen.question, signals, house, decider)


def gap(seen: Seen, why: str, house: HousePolicy, decider: Decider) -> Decision:
    """A hand-over because nothing that may be shown answers the question."""
    signals = seen.verdict.signals | {"topic": decider.topic(seen.question)}
    team = house.reasons[NOT_IN_SOURCES].team
    return Decision("ESCALATE", Escalation(team, NOT_IN_SOURCES), why, signals)


def _hand_over(
    escalation: Escalation,
    question: Question,
    signals: dict[str, object],
    house: HousePolicy,
    decider: Decider,
) -> Decision:
    reason = escalation.reason
    why = f"the model escalates: {reason}"
    if reason == NOT_IN_SOURCES:
        topic = {"topic": decider.topic(question)}
        return Decision("ESCALATE", escalation, why, signals | topic)
    if house.reasons[reason].consent and consent_asked(house, question.history) != reason:
        why = f"{why}; consent first"
        return Decision("CLARIFY", None, why, signals | {"consent": reason})
    return Decision("ESCALATE", escalation, why, signals)


def _answerable(seen: Seen) -> float:
    kinds: dict[str, float] = seen.verdict.signals.get("kinds", {})
    return kinds.get(ANSWERABLE, 0.0)
