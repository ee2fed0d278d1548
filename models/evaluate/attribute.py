"""Diagnosis: which layer failed an answer, by the evidence of its record, and the smallest fix.

The question is always the same: could the assistant see what it needed? If not, it is the knowledge
layer, at the first step that lost it. If it saw and still did badly, it is the behaviour layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from models.evaluate.answers import Outcome, RecordedCandidate, is_gold
from models.suite.facts import says
from twofold.counted import counted
from twofold.policy import NOT_IN_SOURCES

Layer = Literal["knowledge", "behaviour"]
Cause = Literal["missing", "retrieval", "packing", "selection", "decision"]
CAUSES: dict[Cause, Layer] = {
    "missing": "knowledge",
    "retrieval": "knowledge",
    "packing": "knowledge",
    "selection": "behaviour",
    "decision": "behaviour",
}
"""In the order of an answer's way: an answer has the first cause that holds."""


class Attribution(NamedTuple):
    """What failed one answer. `fix` is one sentence."""

    case: str
    layer: Layer
    cause: Cause
    evidence: str
    fix: str


@dataclass(frozen=True, slots=True)
class GoldTrace:
    """How far the gold passages came. Ranks count from 1; None: they did not come that far."""

    indexed: bool | None
    """Whether the index holds a gold document that the asker may see; None: not known."""
    rank: int | None
    """Of the best candidate of a gold document that holds every fact it can."""
    packed: bool
    cited: bool


def seen(outcome: Outcome, indexed: bool | None) -> GoldTrace:
    """Follows the passages that hold the facts, or a gold document's where no text is known."""
    needed = _needed(outcome)
    return GoldTrace(
        indexed=True if any(is_gold(c.document, outcome.case) for c in outcome.candidates)
        else indexed,
        rank=next((n for n, c in enumerate(outcome.candidates, 1) if c.chunk in needed), None),
        packed=bool(needed & outcome.packed),
        cited=outcome.gold_cited,
    )  # fmt: skip


def attribute(outcome: Outcome, indexed: bool | None = None) -> Attribution | None:
    """Returns the finding on one answer; None where nothing is wrong with it.

    `indexed` says whether the index holds a visible gold document; None where nobody looked.
    """
    if not outcome.problems:
        return None
    if outcome.case.expect.action != "ANSWER":
        return _decided(outcome)
    place = seen(outcome, indexed)
    gold = ", ".join(outcome.case.expect.documents)
    if place.rank is None and place.indexed is False:
        return _finding(
            outcome, "missing", f"{gold} is not in the index, or not visible to the asker",
            f"Ingest {gold}, or correct its audience and dates.",
        )  # fmt: skip
    if place.rank is None:
        candidates = counted(len(outcome.candidates), "candidate")
        return _finding(
            outcome, "retrieval",
            f"no passage of {gold} that holds it is among {candidates}",
            "Put the customer's words into the passage's text or headings, or tune retrieval.",
        )  # fmt: skip
    where = f"the passage is candidate {place.rank} of {len(outcome.candidates)}"
    if not place.packed:
        return _finding(
            outcome, "packing", f"{where}, but was not packed",
            "Merge near-duplicate articles that crowd it out, or widen the packing budget.",
        )  # fmt: skip
    if outcome.action != "ANSWER":
        return _finding(
            outcome, "decision", f"{where} and packed; decided {outcome.action}: {outcome.why}",
            _lenient(outcome),
        )  # fmt: skip
    if any(c.literal is False for c in outcome.citations):
        lost = "quoted what its document version does not say"
    elif not place.cited:
        lost = "cited only " + ", ".join(sorted({c.document for c in outcome.citations}))
    else:
        lost = "left out " + ", ".join(repr(fact[0]) for fact in outcome.missing_facts)
    return _finding(
        outcome, "selection", f"{where} and packed; the reply {lost}",
        "Train or tune the reply maker on such questions: it saw the passage and did not use it.",
    )  # fmt: skip


def record(outcome: Outcome, finding: Attribution | None) -> dict[str, Any]:
    """Returns one answer as a line of a run file: what a person needs to see why, and no
    service."""
    expect = outcome.case.expect
    return {
        "id": outcome.case.id,
        "question": outcome.case.question,
        "tags": list(outcome.case.tags),
        "answer_id": outcome.answer_id,
        "problems": outcome.problems,
        "expected": expect.model_dump(exclude_defaults=True),
        "got": {
            "action": outcome.action,
            "team": outcome.team,
            "reason": outcome.reason,
            "why": outcome.why,
            "text": outcome.text,
            "served_by": outcome.served_by,
        },
        "missing_facts": [fact[0] for fact in outcome.missing_facts],
        "cited": [c._asdict() for c in outcome.citations],
        "gold_ranks": [
            n for n, c in enumerate(outcome.candidates, 1) if is_gold(c.document, outcome.case)
        ],
        "retrieved": [
            {
                "rank": n,
                "document": c.document,
                "score": c.score,
                "packed": c.chunk in outcome.packed,
                "gold": is_gold(c.document, outcome.case),
                "facts": [f[0] for f in expect.spellings if c.text and says(c.text, f)],
            }
            for n, c in enumerate(outcome.candidates, 1)
        ],
        "seconds": round(outcome.seconds, 4),
        "finding": finding._asdict() if finding else None,
    }


def _needed(outcome: Outcome) -> set[str]:
    """Returns the chunks that would do: of gold documents, holding as many facts as any of them
    holds."""
    gold = [c for c in outcome.candidates if is_gold(c.document, outcome.case)]
    missing = outcome.missing_facts or list(outcome.case.expect.spellings)
    held = {c.chunk: _held(c, missing) for c in gold}
    most = max(held.values(), default=0)
    if missing and not most and all(c.text for c in gold):
        return set()
    return {chunk for chunk, count in held.items() if count == most}


def _held(candidate: RecordedCandidate, facts: Sequence[tuple[str, ...]]) -> int:
    return sum(says(candidate.text, fact) for fact in facts)


def _decided(outcome: Outcome) -> Attribution:
    expect = outcome.case.expect
    evidence = f"decided {outcome.action}: {outcome.why}" if outcome.why else outcome.problems[0]
    if outcome.action == expect.action:
        fix = f"Add this question to the examples of reason {expect.reason!r} in the house policy."
    elif expect.action == "ESCALATE" and expect.reason != NOT_IN_SOURCES:
        fix = f"Add a pattern or an example to reason {expect.reason!r} in the house policy."
    elif expect.action == "ESCALATE":
        fix = "Raise the evidence that an answer needs: the sources do not hold this one."
    elif expect.action == "DECLINE":
        fix = "Add this question to the off-topic examples of the house policy."
    else:
        fix = "Add this question to the vague examples of the house policy."
    return _finding(outcome, "decision", evidence, fix)


def _lenient(outcome: Outcome) -> str:
    if outcome.action == "ESCALATE" and outcome.reason == NOT_IN_SOURCES:
        return "Lower the evidence that an answer needs: the passage was there."
    if outcome.action == "ESCALATE":
        return f"Narrow the patterns or examples of reason {outcome.reason!r} in the house policy."
    if outcome.action == "CLARIFY":
        return "Add this question to the plain examples of the house policy: it is clear enough."
    return "Add this question to the plain examples of the house policy: it is about us."


def _finding(outcome: Outcome, cause: Cause, evidence: str, fix: str) -> Attribution:
    return Attribution(outcome.case.id, CAUSES[cause], cause, evidence, fix)
