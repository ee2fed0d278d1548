import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluate.stats import difference, estimate, percentile

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


def test_the_mean_lies_in_its_interval_and_counts_its_values() -> None:
    found = estimate([1, 0, 1, 1], ["a", "b", "c", "d"])
    assert found.value == 0.75
    assert found.n == 4
    assert found.low <= 0.75 <= found.high


@given(SHARES)
def test_an_interval_holds_its_mean_and_stays_within_the_values(values: list[float]) -> None:
    found = estimate(values, range(len(values)))
    assert found.low - 1e-9 <= found.value <= found.high + 1e-9
    if not (set(values) <= {0.0} or set(values) <= {1.0}):
        assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_an_interval_is_the_same_every_time() -> None:
    values = [0.1, 0.9, 0.4, 0.4]
    assert estimate(values, "abcd") == estimate(values, "abcd")


def test_fewer_clusters_make_a_wider_interval() -> None:
    values = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0] * 4
    alone = estimate(values, range(32))
    shared = estimate(values, [i // 4 for i in range(32)])
    assert shared.high - shared.low > alone.high - alone.low


def test_all_right_is_not_certain() -> None:
    """Clopper-Pearson on 10 of 10: lower end .025 ** (1/10)."""
    found = estimate([1.0] * 10, range(10))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.6915, abs=1e-4)
    assert estimate([0.0] * 10, range(10)).high == pytest.approx(1 - 0.6915, abs=1e-4)


def test_one_cluster_has_no_interval_and_no_values_no_mean() -> None:
    assert math.isnan(estimate([1, 0], "aa").low)
    assert estimate([], []).data() == {"value": None, "ci": [None, None], "n": 0}


def test_values_and_clusters_must_match() -> None:
    with pytest.raises(ValueError, match="2 values have 1 clusters"):
        estimate([1, 0], "a")


def test_equal_runs_differ_by_nothing() -> None:
    found = difference([0.2, 0.8, 0.5], [0.2, 0.8, 0.5], "abc")
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_paired_difference_is_signed() -> None:
    found = difference([0.2, 0.3], [0.4, 0.5], "ab")
    assert found.value == pytest.approx(-0.2)
    assert found.high == pytest.approx(-0.2)


def test_percentile_of_nothing_is_nan() -> None:
    assert math.isnan(percentile([], 0.5))
    assert percentile([1, 2, 3], 0.5) == 2
