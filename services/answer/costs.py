"""What an outcome costs when the question turns out to be of a kind, and which one costs least."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from services.answer.intent import OFF_TOPIC, VAGUE
from twofold.house import NOT_IN_SOURCES

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
GRAVE = frozenset(
    {"account_takeover", "account_recovery", "vulnerability_report", "data_request"}
    | {"legal_threat", "safety_threat", "outage_report"}
)
"""A house that names its own reasons after these gets the same care; any other costs MISSED."""


class Choice(NamedTuple):
    """One thing we could do, and what it costs in expectation."""

    outcome: str
    cost: float


def choices(kinds: Mapping[str, float], reasons: Collection[str]) -> list[Choice]:
    """Everything we could do, cheapest first: `kinds` are probabilities, `reasons` the house's."""
    outcomes = (*COSTS, *(name for name in reasons if name != GAP))
    found = [
        Choice(outcome, sum(p * _cost(outcome, kind) for kind, p in kinds.items()))
        for outcome in outcomes
    ]
    return sorted(found, key=lambda choice: choice.cost)


def _cost(outcome: str, kind: str) -> float:
    if outcome == kind:
        return 0.0
    if kind in COSTS["ANSWER"]:
        return COSTS[outcome][kind] if outcome in COSTS else _over_escalated(kind)
    if outcome not in COSTS or outcome == GAP:
        return MISROUTED
    return MISSED_GRAVELY if kind in GRAVE else MISSED


def _over_escalated(kind: str) -> float:
    return MISROUTED if kind == GAP else OVER_ESCALATED
