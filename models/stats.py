"""Estimates with intervals: no figure of an eval stands without one."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
SEED = 20261101
TAIL = 0.025
"""Left out on each side of a 95% interval."""
POWER_Z = 2.8016
"""Normal quantiles of 97.5% and 80% together."""
LEAST_SPREAD = 0.05 * 0.95
"""A share that is all or nothing here is not so everywhere."""
DRAWN_AT_ONCE = 40
"""Parts that the draws of an area are made in, so that they fit in memory."""


class Estimate(NamedTuple):
    """A mean over `n` values and its 95% interval; all three are nan where there is no value."""

    value: float
    low: float
    high: float
    n: int

    def data(self) -> dict[str, Any]:
        """Returns JSON: nan becomes null."""
        return {
            "value": _number(self.value),
            "ci": [_number(self.low), _number(self.high)],
            "n": self.n,
        }


def estimate(values: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """Returns mean and percentile bootstrap interval; whole clusters are resampled, so that
    questions about one document count as the one piece of evidence they are.

    Values that are all 0 or all 1 leave the bootstrap nothing to vary; their interval is the exact
    binomial one (Clopper-Pearson) with one trial a cluster.
    """
    data = np.asarray(values, dtype=np.float64)
    if not data.size:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    sums, counts = _by_cluster(data, clusters)
    if (data == data[0]).all() and data[0] in (0.0, 1.0):
        edge = float(TAIL ** (1 / len(sums)))
        low, high = (edge, 1.0) if data[0] else (0.0, 1 - edge)
        return Estimate(float(data[0]), low, high, data.size)
    return _bootstrap(data, sums, counts)


def difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """Returns mean of the paired differences a - b, and its bootstrap interval over clusters."""
    data = np.subtract(a, b, dtype=np.float64)
    return _bootstrap(data, *_by_cluster(data, clusters))


def mcnemar(only_a: int, only_b: int) -> float:
    """Returns the exact two-sided McNemar test: how likely chance splits the cases that pass in
    one of two runs alone at least this unevenly."""
    from scipy.stats import binomtest  # takes a second to import, and few commands need it

    both = only_a + only_b
    return float(binomtest(only_a, both).pvalue) if both else 1.0


def detectable(share: float, clusters: int) -> float | None:
    """Returns the smallest difference of a share between two runs that so many independent cases
    show in 4 of 5 trials (80% power, 5% level), where the runs fail independently of each other:
    the cautious case. None below two clusters."""
    if clusters < 2 or np.isnan(share):
        return None
    spread = max(share * (1 - share), LEAST_SPREAD)
    return float(min(1.0, POWER_Z * np.sqrt(2 * spread / clusters)))


def auroc(
    scores: Sequence[float], positive: Sequence[bool], clusters: Sequence[Hashable]
) -> Estimate:
    """Returns the chance that a positive scores above a negative, ties half (the area under the
    ROC curve), and its bootstrap interval over clusters; nan where one of the two is missing."""
    values, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if truth.all() or not truth.any():
        return Estimate(float("nan"), float("nan"), float("nan"), truth.size)
    members = _members(clusters)
    found = _area(values, truth, np.ones((1, truth.size)))[0]
    if members.max() < 1:
        return Estimate(float(found), float("nan"), float("nan"), truth.size)
    draws = _weights(int(members.max()) + 1)
    areas = np.concatenate(
        [_area(values, truth, part[:, members]) for part in np.array_split(draws, DRAWN_AT_ONCE)]
    )
    low, high = np.nanquantile(areas, (TAIL, 1 - TAIL))
    return Estimate(float(found), float(low), float(high), truth.size)


def caught_at(scores: Sequence[float], positive: Sequence[bool], kept: float = 0.95) -> float:
    """Returns share of negatives that score below the highest threshold which keeps `kept` of
    the positives; nan where one of the two is missing."""
    values, truth = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if truth.all() or not truth.any():
        return float("nan")
    threshold = np.quantile(values[truth], 1 - kept, method="lower")
    return float((values[~truth] < threshold).mean())


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the value that `share` (0..1) of the values do not exceed; nan without values."""
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _bootstrap(
    data: npt.NDArray[np.float64],
    sums: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
) -> Estimate:
    mean = float(data.mean())
    if len(sums) < 2:
        # One cluster says nothing about how clusters differ.
        return Estimate(mean, float("nan"), float("nan"), data.size)
    draws = _weights(len(sums))
    low, high = np.quantile((draws @ sums) / (draws @ counts), (TAIL, 1 - TAIL))
    return Estimate(mean, float(low), float(high), data.size)


def _by_cluster(
    data: npt.NDArray[np.float64], clusters: Sequence[Hashable]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Returns the sum and the count of each cluster's values, clusters in order of appearance."""
    which = _members(clusters)
    if which.size != data.size:
        raise ValueError(f"{data.size} values have {which.size} clusters")
    sums = np.bincount(which, weights=data).astype(np.float64)
    return sums, np.bincount(which).astype(np.float64)


def _members(clusters: Sequence[Hashable]) -> npt.NDArray[np.intp]:
    """Returns the number of each value's cluster, in order of appearance."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], np.intp)


def _area(
    values: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Returns the area of each row of weights (draws, n); nan where a draw holds one of the two
    alone."""
    _, rank = np.unique(values, return_inverse=True)
    steps = np.arange(rank.max() + 1)
    order = np.argsort(rank, kind="stable")
    starts = np.searchsorted(rank[order], steps)
    above = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    below = np.add.reduceat((weights * ~truth)[:, order], starts, axis=1)
    won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: npt.NDArray[np.float64] = won / (above.sum(axis=1) * below.sum(axis=1))
    return area


def _weights(clusters: int) -> npt.NDArray[np.float64]:
    """Returns (RESAMPLES, clusters): how often each cluster is drawn, out of `clusters` draws."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(
        np.float64
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
