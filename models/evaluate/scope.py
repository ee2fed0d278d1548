"""The scope eval: does the classifier know what is none of its business (CLINC150's format)?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.evaluate.local import Labels, Scoped
from models.jsonl import read_jsonl
from models.stats import Estimate, auroc, estimate
from twofold.errors import InvalidInput, NotFound

OUTSIDE = "oos"
KEPT = 0.95
"""Share of in-scope questions that the threshold must let through."""
PUBLISHED = {
    "BERT, oos-train": (0.969, 0.403),
    "BERT, oos-threshold": (0.962, 0.523),
    "MLP, oos-train": (0.935, 0.474),
}
"""(in-scope accuracy, out-of-scope recall) on CLINC150 Full: Larson et al. 2019, table 2."""

FILES = {
    "train": ("train.jsonl", "oos_train.jsonl"),
    "val": ("val.jsonl", "oos_val.jsonl"),
    "test": ("test.jsonl", "oos_test.jsonl"),
}


class JudgedText(NamedTuple):
    """A test text, its true class, and how it was judged."""

    truth: str
    found: Scoped

    @property
    def inside(self) -> bool:
        return self.truth != OUTSIDE


@dataclass(frozen=True, slots=True)
class ScopeReport:
    """The threshold is set on the validation texts and never sees the test's.

    `recall`: out-of-scope texts recognised. `kept`: in-scope texts let through. `accuracy`: those
    let through with the right intent, the figure that the paper calls in-scope accuracy.
    `recall_at_kept`: recall where exactly 95% of the test's own in-scope texts are let through.
    """

    inside: int
    outside: int
    auroc: float
    threshold: float
    recall: Estimate
    kept: Estimate
    accuracy: Estimate
    recall_at_kept: Estimate

    def data(self) -> dict[str, Any]:
        return {
            "in_scope": self.inside,
            "out_of_scope": self.outside,
            "auroc": round(self.auroc, 4),
            "threshold": round(self.threshold, 4),
            "recall": self.recall.data(),
            "kept": self.kept.data(),
            "accuracy": self.accuracy.data(),
            "recall_at_95": self.recall_at_kept.data(),
            "published": {
                name: {"accuracy": accuracy, "recall": recall}
                for name, (accuracy, recall) in PUBLISHED.items()
            },
        }


def load_scope(folder: Path) -> Mapping[str, list[Labels]]:
    """Returns `train`, `val` and `test`, out-of-scope texts labelled OUTSIDE.

    Raises NotFound, or InvalidInput naming the file and the line.
    """
    return {
        name: [row for file in files for row in _rows(folder / file)]
        for name, files in FILES.items()
    }


def report(val: Sequence[JudgedText], test: Sequence[JudgedText]) -> ScopeReport:
    threshold = _threshold(val)
    inside = [judged for judged in test if judged.inside]
    outside = [judged for judged in test if not judged.inside]
    own = _threshold(test)
    return ScopeReport(
        inside=len(inside),
        outside=len(outside),
        auroc=auroc(
            [j.found.outside for j in test], [not j.inside for j in test], range(len(test))
        ).value,
        threshold=threshold,
        recall=_share([j.found.outside > threshold for j in outside]),
        kept=_share([j.found.outside <= threshold for j in inside]),
        accuracy=_share(
            [j.found.outside <= threshold and j.found.label == j.truth for j in inside]
        ),
        recall_at_kept=_share([j.found.outside > own for j in outside]),
    )


def _threshold(judged: Sequence[JudgedText]) -> float:
    """Returns the lowest score that at least KEPT of the in-scope texts do not exceed."""
    scores = [j.found.outside for j in judged if j.inside]
    return float(np.quantile(scores, KEPT, method="higher"))


def _share(hits: Sequence[bool]) -> Estimate:
    return estimate([float(hit) for hit in hits], range(len(hits)))


def _rows(path: Path) -> list[Labels]:
    if not path.is_file():
        raise NotFound(f"There is no {path}. The folder needs the files of CLINC150.")
    rows = []
    for number, row in read_jsonl(path):
        try:
            rows.append(Labels(row["text"], row["intent"] if row["in_scope"] else OUTSIDE))
        except (KeyError, TypeError):
            raise InvalidInput(
                f"{path}: line {number} is not an object with text, intent and in_scope."
            ) from None
    return rows
