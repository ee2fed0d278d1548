"""The retrieval eval: every stage of retrieval on labelled queries, side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.evaluate.labelled import Labelled
from models.evaluate.local import Rankings
from models.evaluate.ranking import METRICS, measure
from models.stats import Estimate, difference, estimate


@dataclass(frozen=True, slots=True)
class RetrievalReport:
    """Run -> metric -> estimate, over `queries` labelled queries.

    `gains`: what the full pipeline adds to nDCG@10 of each other run, paired by query.
    """

    queries: int
    unlabelled: int
    documents: int
    runs: Mapping[str, Mapping[str, Estimate]]
    gains: Mapping[str, Estimate]

    def data(self) -> dict[str, Any]:
        return {
            "queries": self.queries,
            "unlabelled": self.unlabelled,
            "documents": self.documents,
            "runs": {run: _flat(found) for run, found in self.runs.items()},
            "gains_ndcg@10": {run: gain.data() for run, gain in self.gains.items()},
        }


def report(labelled: Labelled, rankings: Rankings) -> RetrievalReport:
    """Intervals resample the documents that queries are about, with all their queries."""
    clusters = [query.cluster for query in labelled.queries]
    measured = {
        run: [
            measure(ranking, query.grades)
            for ranking, query in zip(ranked, labelled.queries, strict=True)
        ]
        for run, ranked in rankings.items()
    }
    full = [row["ndcg@10"] for row in measured["full"]]
    return RetrievalReport(
        queries=len(labelled.queries),
        unlabelled=labelled.unlabelled,
        documents=len(labelled.corpus),
        runs={
            run: {name: estimate([row[name] for row in rows], clusters) for name in METRICS}
            for run, rows in measured.items()
        },
        gains={
            run: difference(full, [row["ndcg@10"] for row in rows], clusters)
            for run, rows in measured.items()
            if run != "full"
        },
    )


def _flat(found: Mapping[str, Estimate]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in found.items():
        data = value.data()
        flat[name], flat[f"{name}_ci"] = data["value"], data["ci"]
    return flat
