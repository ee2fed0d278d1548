"""Retrieval metrics of one query: the definitions of trec_eval."""

import math
from collections.abc import Mapping, Sequence

METRICS = ("recall@1", "recall@5", "recall@10", "ndcg@5", "ndcg@10", "mrr")


def recall(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Returns share of the relevant documents (grade > 0) among the first `k`."""
    relevant = {id for id, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant)


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], k: int) -> float:
    """Returns the discounted gain over that of the ideal ranking (0..1): gain = grade, discount
    = log2(rank + 1)."""
    gained = _dcg([max(grades.get(id, 0), 0) for id in ranking[:k]])
    ideal = _dcg(sorted((max(grade, 0) for grade in grades.values()), reverse=True)[:k])
    return gained / ideal


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """Returns 1 / rank of the first relevant document, 0 where none was found."""
    for rank, id in enumerate(ranking, start=1):
        if grades.get(id, 0) > 0:
            return 1 / rank
    return 0.0


def measure(ranking: Sequence[str], grades: Mapping[str, int]) -> dict[str, float]:
    """Returns every one of METRICS. `ranking` holds no id twice; `grades` holds at least one
    above 0."""
    return {
        "recall@1": recall(ranking, grades, 1),
        "recall@5": recall(ranking, grades, 5),
        "recall@10": recall(ranking, grades, 10),
        "ndcg@5": ndcg(ranking, grades, 5),
        "ndcg@10": ndcg(ranking, grades, 10),
        "mrr": reciprocal_rank(ranking, grades),
    }


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
