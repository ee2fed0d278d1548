"""Every cause, from a record made so that it is the one."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from models.evaluate.answers import Outcome, RecordedCandidate, ReturnedCitation
from models.evaluate.attribute import attribute, record
from models.suite.suite import Case

GOLD = "hc/secret.md"
HOLDS = RecordedCandidate("c1", GOLD, 0.9, "Both work for 12 hours.")
SILENT = RecordedCandidate("c2", GOLD, 0.8, "Rolling a secret.")
OTHER = RecordedCandidate("c3", "hc/other.md", 0.7, "Something else.")
CASE = Case.model_validate(
    {
        "id": "a",
        "question": "How long?",
        "expect": {"action": "ANSWER", "documents": ["secret.md"], "facts": ["12 hours"]},
    }
)
RIGHT = Outcome(
    case=CASE,
    answer_id="id",
    action="ANSWER",
    team=None,
    reason=None,
    text="It is 12 hours. [1]",
    served_by="composer",
    citations=(ReturnedCitation(GOLD, 1, "12 hours", True),),
    candidates=(HOLDS, SILENT, OTHER),
    packed=frozenset({"c1", "c3"}),
    why="",
    seconds=0.01,
)
WRONG = replace(
    RIGHT, text="Nobody knows.", citations=(ReturnedCitation("hc/other.md", 1, "S", True),)
)
REFUSED = replace(
    RIGHT, action="ESCALATE", team="support", reason="not_in_sources", text="", citations=()
)


def _expects(action: str, **more: Any) -> Case:
    expect = {"action": action, **more}
    return Case.model_validate({"id": "a", "question": "q", "expect": expect})


@dataclass(frozen=True)
class Example:
    outcome: Outcome
    cause: str
    says: str
    indexed: bool | None = None


EXAMPLES = {
    "not in the index": Example(
        replace(WRONG, candidates=(OTHER,)), "knowledge/missing", "not in the index", indexed=False
    ),
    "in the index, not found": Example(
        replace(WRONG, candidates=(OTHER,)), "knowledge/retrieval", "among 1 candidate", True
    ),
    "document found, its passage not": Example(
        replace(WRONG, candidates=(SILENT, OTHER)), "knowledge/retrieval", "no passage of secret.md"
    ),
    "found, not packed": Example(
        replace(WRONG, packed=frozenset({"c2", "c3"})), "knowledge/packing", "candidate 1 of 3"
    ),
    "packed, others cited": Example(WRONG, "behaviour/selection", "cited only hc/other.md"),
    "packed and cited, fact left out": Example(
        replace(RIGHT, text="It keeps. [1]"), "behaviour/selection", "left out '12 hours'"
    ),
    "quote made up": Example(
        replace(RIGHT, citations=(ReturnedCitation(GOLD, 1, "13 hours", False),)),
        "behaviour/selection",
        "does not say",
    ),
    "packed, yet refused": Example(REFUSED, "behaviour/decision", "decided ESCALATE"),
    "refused, because not packed": Example(
        replace(REFUSED, packed=frozenset({"c3"})), "knowledge/packing", "was not packed"
    ),
    "answered what a rule hands over": Example(
        replace(RIGHT, case=_expects("ESCALATE", team="legal", reason="legal_threat")),
        "behaviour/decision",
        "ANSWER instead of ESCALATE",
    ),
    "handed to the wrong team": Example(
        replace(REFUSED, case=_expects("ESCALATE", team="legal", reason="legal_threat")),
        "behaviour/decision",
        "support/not_in_sources instead of legal/legal_threat",
    ),
    "answered off-topic": Example(
        replace(RIGHT, case=_expects("DECLINE")), "behaviour/decision", "ANSWER instead of DECLINE"
    ),
    "answered what is vague": Example(
        replace(RIGHT, case=_expects("CLARIFY"), why="sure"), "behaviour/decision", "ANSWER: sure"
    ),
}


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_the_cause_is_found(example: Example) -> None:
    finding = attribute(example.outcome, example.indexed)
    assert finding is not None
    assert f"{finding.layer}/{finding.cause}" == example.cause
    assert example.says in finding.evidence
    assert finding.fix.endswith(".")


def test_nothing_is_found_on_a_right_answer() -> None:
    assert attribute(RIGHT) is None


def test_without_chunk_texts_the_document_itself_is_followed() -> None:
    blind = tuple(candidate._replace(text="") for candidate in WRONG.candidates)
    finding = attribute(replace(WRONG, candidates=blind))
    assert finding is not None
    assert finding.cause == "selection"


def test_a_recorded_failure_shows_what_was_found_where() -> None:
    row = record(WRONG, attribute(WRONG))
    assert row["gold_ranks"] == [1, 2]
    assert row["missing_facts"] == ["12 hours"]
    assert row["retrieved"][0] == {
        "rank": 1, "document": GOLD, "score": 0.9, "packed": True, "gold": True,
        "facts": ["12 hours"],
    }  # fmt: skip
    assert row["finding"]["cause"] == "selection"
