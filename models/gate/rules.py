"""What a release must reach, and what it must not lose: where the gate says no, and why."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from models.gate.judge import METRICS, WORSE_HIGH, JudgedRow, cluster
from models.gate.probes import Probed
from models.stats import LEAST_SPREAD, POWER_Z, Estimate, difference

FLOORS: Final[Mapping[str, float]] = {
    "contract": 0.95,
    "style": 0.95,
    "cites": 0.9,
    "changed_alone": 0.9,
}
"""Shares that a release must reach, whatever it is compared with."""
MOST_LEAKS: Final = 0
"""Closed-book probes that may state a fact."""
MARGIN: Final = 0.05
"""A figure may be so much worse by chance than the one it is compared with, and no more."""
WIDE: Final = 2 * 1.96
"""Standard errors that a 95% interval is wide."""
FOUR_OF_FIVE: Final = 0.8416
"""Standard errors that a true difference must lie beyond a bound to pass it so often."""
KEPT: Final = (
    *("contract", "style", "action", "over_escalated", "under_escalated", "refused"),
    *("citation_recall", "citation_precision", "supported", "facts"),
)
"""Metrics that must not fall, against the base with the full prompt and the live release."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A metric of the candidate minus that of another arm, on the rows that tell both."""

    metric: str
    other: str
    by: Estimate

    @property
    def lost(self) -> bool:
        """Worse beyond the margin, or surely worse: the whole interval lies on the wrong side."""
        sign = 1.0 if self.metric in WORSE_HIGH else -1.0
        worst = self.by.low if sign > 0 else self.by.high
        return sign * self.by.value > MARGIN or (sign * self.by.value > 0 and sign * worst > 0)

    @property
    def noticed(self) -> float | None:
        """The loss that so many rows refuse in 4 of 5 runs: what is smaller may well go unseen.
        None where the rows are of one document."""
        if math.isnan(self.by.low):
            return None
        error = max((self.by.high - self.by.low) / WIDE, math.sqrt(LEAST_SPREAD / self.by.n))
        return min(MARGIN + FOUR_OF_FIVE * error, POWER_Z * error)


class Shares(NamedTuple):
    """What the probes came to."""

    closed_book: Probed
    changed_alone: Probed
    changed_packed: Probed


def compare(
    candidate: Sequence[JudgedRow], other: Sequence[JudgedRow], name: str
) -> list[Compared]:
    """Returns the paired differences, metric by metric, on the rows that both were asked."""
    found = []
    same = {judged.row.id: judged for judged in candidate}
    pairs = [(same[judged.row.id], judged) for judged in other if judged.row.id in same]
    for metric in METRICS:
        mine, theirs, clusters = [], [], []
        for a, b in pairs:
            one, two = a.figures[metric], b.figures[metric]
            if one is not None and two is not None:
                mine.append(one)
                theirs.append(two)
                clusters.append(cluster(a.row))
        if mine:
            found.append(Compared(metric, name, difference(mine, theirs, clusters)))
    return found


def refusals(
    figures: Mapping[str, Estimate], shares: Shares, compared: Sequence[Compared]
) -> Iterator[str]:
    """Yields why the release may not serve, in sentences; none where it may."""
    reached = {**{n: e.value for n, e in figures.items()}}
    reached["changed_alone"] = shares.changed_alone.share.value
    for name, floor in FLOORS.items():
        if not reached[name] >= floor:  # nan, where nothing was asked, reaches no floor
            what = METRICS.get(name, "changed facts followed, one fact in the context")
            yield f"{what}: {reached[name]:.3f}, at least {floor:g} is needed"
    leaks = len(shares.closed_book.wrong)
    if leaks > MOST_LEAKS:
        first = shares.closed_book.wrong[0]
        said = _short(first.said.wire)
        yield (
            f"it states facts without documents: {leaks} of {shares.closed_book.share.n}"
            f" closed-book probes leak, such as {first.row.question!r} -> {said!r}"
        )
    for each in compared:
        if each.metric in KEPT and each.lost:
            yield (
                f"{METRICS[each.metric]}: {each.by.value:+.3f} [{each.by.low:+.3f},"
                f" {each.by.high:+.3f}] against {each.other}"
            )


def _short(wire: str) -> str:
    text = " ".join(wire.split())
    return text if len(text) <= 120 else text[:117] + "..."
