"""Estimates with intervals: no figure of an eval stands without one."""

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

RESAMPLES = 2000
SEED = 20261101
TAIL = 0.025
"""Left out on each side of a 95% interval."""


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
    if (data == data[0]).all() and data[0] in (0.0, 1.0):
        edge = float(TAIL ** (1 / len(sums)))
        low, high = (edge, 1.0) if data[0] else (0.0, 1 - edge)
        return Estimate(float(data[0]), low, high, data.size)
    return _bootstrap(data, sums, counts)


def difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """Mean of the paired differences a - b, and its bootstrap interval over clusters."""
    data = np.subtract(a, b, dtype=np.float64)
    return _bootstrap(data, *_by_cluster(data, clusters))


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0..1) of the values do not exceed; nan without values."""
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
