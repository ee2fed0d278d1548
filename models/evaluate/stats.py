"""Estimates with intervals: no figure of an eval stands without one."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
SEED = 20261101
LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean over `n` values and its 95% interval; all three are nan where there is no value."""

    value: float
    low: float
    high: float
    n: int

    def data(self) -> dict[str, Any]:
        """JSON: nan becomes null."""
        return {
            "value": _number(self.value),
            "ci": [_number(self.low), _number(self.high)],
            "n": self.n,
        }


def estimate(values: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """Mean and percentile bootstrap interval; whole clusters are resampled, so that questions
    about one document count as the one piece of evidence they are.

    Values that are all 0 or all 1 leave the bootstrap nothing to vary; their interval is the exact
    binomial one (Clopper-Pearson) with one trial a cluster.
    """
    data = np.asarray(values, dtype=np.float64)
    if not data.size:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    sums, counts = _by_cluster(data, clusters)
    mean = float(data.mean())
    tail = (1 - LEVEL) / 2
    if (data == data[0]).all() and data[0] in (0.0, 1.0):
        edge = float(tail ** (1 / len(sums)))
        return Estimate(mean, *((edge, 1.0) if data[0] else (0.0, 1 - edge)), n=data.size)
    if len(sums) < 2:
        return Estimate(mean, float("nan"), float("nan"), data.size)
    draws = _weights(len(sums))
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, (tail, 1 - tail))
    return Estimate(mean, float(low), float(high), data.size)


def difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """Mean of the paired differences a - b, with the same interval."""
    return estimate([x - y for x, y in zip(a, b, strict=True)], clusters)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed; nan without values."""
    return float(np.quantile(values, share)) if len(values) else float("nan")


def _by_cluster(
    data: npt.NDArray[np.float64], clusters: Sequence[Hashable]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Sum and count of each cluster's values, clusters in order of appearance."""
    numbers: dict[Hashable, int] = {}
    which = np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters])
    if which.size != data.size:
        raise ValueError(f"{data.size} values have {which.size} clusters")
    sums = np.bincount(which, weights=data).astype(np.float64)
    return sums, np.bincount(which).astype(np.float64)


def _weights(clusters: int) -> npt.NDArray[np.float64]:
    """(RESAMPLES, clusters): how often each cluster is drawn, out of `clusters` draws."""
    rng = np.random.default_rng(SEED)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLES).astype(
        np.float64
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
