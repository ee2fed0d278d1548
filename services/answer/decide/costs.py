"""What an outcome costs when the question turns out to be of a kind, and which one costs least."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from services.answer.decide.intent import OFF_TOPIC, VAGUE
from twofold.policy import NOT_IN_SOURCES, Reason

ANSWERABLE = "answerable"
GAP = NOT_IN_SOURCES

COSTS: Mapping[str, Mapping[str, float]] = {
    "ANSWER": {ANSWERABLE: 0.0, GAP: 3.0, OFF_TOPIC: 5.0, VAGUE: 3.0},
    "CLARIFY": {ANSWERABLE: 2.0, GAP: 2.0, OFF_TOPIC: 2.0, VAGUE: 0.0},
    "DECLINE": {ANSWERABLE: 6.0, GAP: 4.0, OFF_TOPIC: 0.0, VAGUE: 4.0},
    GAP: {ANSWERABLE: 3.0, GAP: 0.0, OFF_TOPIC: 2.0, VAGUE: 1.5},
}
"""Cost of an outcome (row) when the question is of a kind (column), in minutes of an agent's time
or a customer's. A wrong answer costs as much as handing over a question that had an answer.
On the tune half of the example suite action accuracy stays between .85 and .88 while these costs
move by a third."""
OVER_ESCALATED = 4.0
MISROUTED = 2.0
"""A person sees it, but the wrong one."""
MISSED = 4.0
"""A person should have seen it, and nobody did."""
MISSED_GRAVELY = 7.0
"""The same of a reason that the house calls grave."""


class OutcomeCost(NamedTuple):
    """One thing we could do, and what it costs in expectation."""

    outcome: str
    cost: float


def choices(kinds: Mapping[str, float], reasons: Mapping[str, Reason]) -> list[OutcomeCost]:
    """Returns every possible action, cheapest first. `kinds`: probabilities of what the question
    is; `reasons`: the house's."""
    grave = {name for name, reason in reasons.items() if reason.grave}
    outcomes = (*COSTS, *(name for name in reasons if name != GAP))
    found = [
        OutcomeCost(outcome, sum(p * _cost(outcome, kind, grave) for kind, p in kinds.items()))
        for outcome in outcomes
    ]
    return sorted(found, key=lambda choice: choice.cost)


def _cost(outcome: str, kind: str, grave: Collection[str]) -> float:
    if outcome == kind:
        return 0.0
    if kind in COSTS["ANSWER"]:
        return COSTS[outcome][kind] if outcome in COSTS else _over_escalated(kind)
    if outcome not in COSTS or outcome == GAP:
        return MISROUTED
    return MISSED_GRAVELY if kind in grave else MISSED


def _over_escalated(kind: str) -> float:
    return MISROUTED if kind == GAP else OVER_ESCALATED
