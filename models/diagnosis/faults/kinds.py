"""The kinds of faults, the cause that each one is, and which were kept out of tuning.

Which are kept out was settled by the hashes of their names before there was anything to tune:
a third of all, those with the lowest. They are reported apart.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from models.diagnosis.faults import behaviour, entries, knowledge
from models.diagnosis.faults.site import Site
from models.diagnosis.verdicts import Cause
from models.suite.suite import Case

Plant = Callable[[Site], Case | None]
_PLANTS: dict[Cause, tuple[Plant, ...]] = {
    "not_in_sources": (knowledge.removed, knowledge.never_written),
    "not_ingested": (knowledge.failed, knowledge.quarantined, knowledge.lost),
    "hidden": (knowledge.expired, knowledge.not_yet, knowledge.for_others),
    "stale": (knowledge.superseded, knowledge.behind),
    "broken_extraction": (knowledge.garbled, knowledge.left_out),
    "split_apart": (knowledge.split,),
    "not_retrieved": (knowledge.buried, knowledge.misembedded),
    "retrieved_but_cut": (knowledge.crowded, knowledge.small_context),
    "contradicting_sources": (knowledge.contradicted, knowledge.overruled),
    "misunderstood_follow_up": (knowledge.polluted, knowledge.misled),
    "ignored_evidence": (behaviour.ignores_passage, behaviour.leaves_out),
    "unsupported_claim": (behaviour.invents_number, behaviour.adds_claim),
    "wrong_citation": (behaviour.drops_citations, behaviour.swaps_citations),
    "format": (behaviour.leaks_header, behaviour.wraps_in_json, behaviour.breaks_markup),
    "style": (behaviour.wrong_voice,),
    "padding": (behaviour.flatters, behaviour.rambles),
    "over_escalation": (behaviour.calls_a_person, behaviour.sees_a_gap),
    "under_escalation": (behaviour.keeps_to_itself,),
    "needless_refusal": (behaviour.refuses,),
    "needless_question": (behaviour.asks_back,),
    "suite_wrong": (entries.wrong_fact, entries.wrong_page, entries.wrong_action),
    "both": (entries.hidden_and_flatters, entries.lost_and_uncited, entries.expired_and_leaks),
}


class Kind(NamedTuple):
    """A way of breaking something, by name, and the cause that it is."""

    name: str
    cause: Cause
    plant: Plant
    kept_out: bool


def _kinds() -> tuple[Kind, ...]:
    found = [
        (plant.__name__, cause, plant) for cause, plants in _PLANTS.items() for plant in plants
    ]
    by_hash = sorted((hashlib.sha256(name.encode()).hexdigest(), name) for name, _, _ in found)
    kept_out = {name for _, name in by_hash[: (len(found) + 2) // 3]}
    return tuple(Kind(name, cause, plant, name in kept_out) for name, cause, plant in found)


KINDS = _kinds()
KEPT_OUT = frozenset(kind.name for kind in KINDS if kind.kept_out)
