"""Retrieval metrics against cases worked out by hand, and against ir-measures where installed."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluate.ranking import METRICS, measure, ndcg, recall, reciprocal_rank

IDS = [f"d{n}" for n in range(12)]
JUDGED = st.dictionaries(st.sampled_from(IDS), st.integers(0, 3), min_size=1).filter(
    lambda grades: any(grades.values())
)


def test_recall_is_the_share_of_relevant_documents_found() -> None:
    grades = {"a": 1, "b": 1, "z": 0}
    assert recall(["z", "a", "x", "b"], grades, 1) == 0
    assert recall(["z", "a", "x", "b"], grades, 2) == 0.5
    assert recall(["z", "a", "x", "b"], grades, 4) == 1


def test_ndcg_discounts_by_rank_and_weighs_by_grade() -> None:
    grades = {"a": 3, "b": 1}
    ideal = 3 + 1 / math.log2(3)
    assert ndcg(["b", "x", "a"], grades, 10) == pytest.approx((1 + 3 / 2) / ideal)
    assert ndcg(["a", "b"], grades, 10) == pytest.approx(1)
    assert ndcg(["x", "y"], grades, 10) == 0


def test_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    assert reciprocal_rank(["x", "z", "a", "b"], {"a": 1, "b": 2, "z": 0}) == pytest.approx(1 / 3)
    assert reciprocal_rank([], {"a": 1}) == 0


@given(st.permutations(IDS), JUDGED)
def test_metrics_lie_between_0_and_1(ranking: list[str], grades: dict[str, int]) -> None:
    found = measure(ranking, grades)
    assert tuple(found) == METRICS
    assert all(0 <= value <= 1 + 1e-12 for value in found.values())
    assert found["recall@1"] <= found["recall@5"] <= found["recall@10"]


@given(JUDGED)
def test_the_ideal_ranking_has_ndcg_1(grades: dict[str, int]) -> None:
    ideal = sorted(grades, key=lambda id: -grades[id])
    assert ndcg(ideal, grades, 10) == pytest.approx(1)


@given(st.permutations(IDS), JUDGED)
def test_ir_measures_agrees(ranking: list[str], grades: dict[str, int]) -> None:
    ir = pytest.importorskip("ir_measures")
    names = {
        "recall@1": ir.R @ 1, "recall@5": ir.R @ 5, "recall@10": ir.R @ 10,
        "ndcg@5": ir.nDCG @ 5, "ndcg@10": ir.nDCG @ 10, "mrr": ir.RR,
    }  # fmt: skip
    run = {"q": {id: float(-rank) for rank, id in enumerate(ranking)}}
    theirs = ir.calc_aggregate(list(names.values()), {"q": grades}, run)
    ours = measure(ranking, grades)
    for name, metric in names.items():
        assert ours[name] == pytest.approx(theirs[metric]), name
