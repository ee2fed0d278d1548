"""What a rule found, and where."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

Severity = Literal["severe", "warning", "info"]
Rule = Literal[
    "contradiction",
    "injection",
    "out_of_place",
    "duplicate",
    "near_duplicate",
    "stale",
    "expired",
    "thin",
    "broken_link",
    "orphan",
    "unreadable",
]

SEVERITIES: dict[Rule, Severity] = {
    "contradiction": "severe",
    "injection": "severe",
    "out_of_place": "warning",
    "duplicate": "warning",
    "near_duplicate": "warning",
    "stale": "warning",
    "expired": "warning",
    "thin": "warning",
    "broken_link": "warning",
    "unreadable": "warning",
    "orphan": "info",
}
"""Severe is what can make an answer wrong today: those end the command with exit code 1."""
_ORDER: tuple[Severity, ...] = ("severe", "warning", "info")


class Place(NamedTuple):
    """A line of a document (its external id), from 1, and what stands there."""

    document: str
    line: int
    text: str


class Finding(NamedTuple):
    rule: Rule
    message: str
    places: Sequence[Place]
    fix: str

    @property
    def severity(self) -> Severity:
        return SEVERITIES[self.rule]

    def record(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "severity": self.severity,
            "message": self.message,
            "places": [place._asdict() for place in self.places],
            "fix": self.fix,
        }


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the findings, severe ones first, then by rule and place."""
    rules = list(SEVERITIES)
    return sorted(
        findings,
        key=lambda f: (_ORDER.index(f.severity), rules.index(f.rule), [p[:2] for p in f.places]),
    )
