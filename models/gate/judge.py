"""One reply judged against its row: each figure is 0..1, or None where it says nothing."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from models.data.lint.policy import unstylish
from models.data.rows import Row
from models.data.sentences import RowPassages, sentences
from models.gate.arms import ArmReply
from models.stats import Estimate, estimate
from models.suite.facts import says
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.reply import marks, strict

METRICS: Final = {
    "contract": "keeps the reply contract, unconstrained, and cites only what it was shown",
    "style": "keeps the house style",
    "action": "action as expected",
    "over_escalated": "escalated without need",
    "under_escalated": "not escalated though needed",
    "refused": "refused what the sources do not hold",
    "cites": "answers with a citation",
    "citation_recall": "a gold document cited",
    "citation_precision": "citations of gold documents",
    "supported": "sentences held by what they cite",
    "facts": "key facts stated",
}
"""Metric -> what it is the share of."""
WORSE_HIGH: Final = frozenset({"over_escalated", "under_escalated"})


class JudgedRow(NamedTuple):
    """`figures`: metric -> value, None where the row cannot tell."""

    row: Row
    said: ArmReply
    figures: Mapping[str, float | None]


def judge(row: Row, said: ArmReply, house: HousePolicy) -> JudgedRow:
    header, text = strict(said.wire, house.reason_teams)
    action = header.action if header else None
    marked = set(marks(text))
    kept = header is not None and marked <= {d.n for d in row.documents}
    expected = row.expected
    needed = expected.action == "ESCALATE"
    answering = expected.action == "ANSWER"
    cited = marked & {d.n for d in row.documents}
    gold = set(row.gold)
    figures: dict[str, float | None] = {
        "contract": float(kept),
        "style": float(kept and not any(unstylish(text, house))),
        "action": float(action == expected.action),
        # Counts replies that can be read: one that breaks the contract shows no restraint.
        "over_escalated": float(action == "ESCALATE") if kept and not needed else None,
        "under_escalated": float(action != "ESCALATE") if needed else None,
        "refused": float(action in ("ESCALATE", "DECLINE"))
        if expected.reason == NOT_IN_SOURCES
        else None,
        "cites": float(bool(cited)) if kept and action == "ANSWER" else None,
        "citation_recall": float(bool(cited & gold)) if answering and gold else None,
        "citation_precision": len(cited & gold) / len(cited)
        if answering and gold and cited
        else (0.0 if answering and gold else None),
        "supported": _supported(row, text) if answering else None,
        "facts": sum(says(text, fact) for fact in row.facts) / len(row.facts)
        if answering and row.facts
        else None,
    }
    return JudgedRow(row, said, figures)


def estimates(judged: Sequence[JudgedRow]) -> dict[str, Estimate]:
    """Returns every metric with its 95% interval; rows about one document are one piece of
    evidence."""
    found = {}
    for name in METRICS:
        told = [(j.figures[name], cluster(j.row)) for j in judged]
        values = [(value, of) for value, of in told if value is not None]
        found[name] = estimate([v for v, _ in values], [c for _, c in values])
    return found


def escalation_f1(judged: Sequence[JudgedRow]) -> float:
    """Returns the harmonic mean of precision and recall of escalating (0..1); nan where nothing
    escalates."""
    missed = [j.figures["under_escalated"] for j in judged]
    needless = sum(j.figures["over_escalated"] or 0.0 for j in judged)
    right = sum(1.0 - value for value in missed if value is not None)
    wrong = needless + sum(value or 0.0 for value in missed)
    return 2 * right / (2 * right + wrong) if right + wrong else float("nan")


def cluster(row: Row) -> str:
    """Returns the group of a row: rows about one document, or made of one row, are not
    independent."""
    return next((row.documents[n - 1].document for n in row.gold), row.parent)


def _supported(row: Row, text: str) -> float:
    passages = RowPassages(row.documents, row.locale)
    said = [s for s in sentences(text) if passages.claims(s)]
    return sum(passages.hold(s.marks, s) for s in said) / len(said) if said else 0.0
