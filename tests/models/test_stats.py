import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.stats import auroc, caught_at, difference, estimate, percentile

SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=30)


def test_the_mean_lies_in_its_interval_and_counts_its_values() -> None:
    found = estimate([1, 0, 1, 1], ["a", "b", "c", "d"])
    assert found.value == 0.75
    assert found.n == 4
    assert found.low <= 0.75 <= found.high


@pytest.mark.heavy
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


SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def area(low: list[float], high: list[float]) -> float:
    truth = [False] * len(low) + [True] * len(high)
    return auroc([*low, *high], truth, range(len(truth))).value


def test_the_area_counts_pairs_in_order_and_half_of_the_ties() -> None:
    assert area([0.1, 0.2], [0.3, 0.4]) == 1
    assert area([0.3, 0.4], [0.1, 0.2]) == 0
    assert area([0.5], [0.5]) == 0.5
    assert area([0.1, 0.4], [0.3, 0.5]) == 0.75


@pytest.mark.heavy
@given(SCORES, SCORES)
def test_the_area_is_the_share_of_pairs_in_order(low: list[float], high: list[float]) -> None:
    pairs = [1.0 if b > a else 0.5 if b == a else 0.0 for a in low for b in high]
    assert area(low, high) == pytest.approx(sum(pairs) / len(pairs))


def test_the_interval_of_an_area_holds_it_and_widens_with_fewer_clusters() -> None:
    truth = [at % 2 == 0 for at in range(80)]
    scores = [(at * 37 % 80) / 80 + 0.2 * (at % 2 == 0) for at in range(80)]
    alone = auroc(scores, truth, range(80))
    shared = auroc(scores, truth, [at // 8 for at in range(80)])
    assert alone.low < alone.value < alone.high
    assert shared.value == alone.value
    assert auroc(scores, truth, range(80)) == alone


def test_an_area_needs_both_kinds() -> None:
    assert math.isnan(auroc([0.1, 0.2], [True, True], "ab").value)
    assert math.isnan(caught_at([0.1, 0.2], [False, False]))


def test_caught_are_the_negatives_below_what_keeps_nearly_all_positives() -> None:
    kept = [n / 100 for n in range(1, 101)]
    negatives = [0.0, 0.02, 0.04, 0.9]
    truth = [True] * 100 + [False] * 4
    assert caught_at([*kept, *negatives], truth) == 0.75
    assert caught_at([*kept, *negatives], truth, kept=1.0) == 0.25
