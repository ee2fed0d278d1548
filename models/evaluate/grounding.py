"""Does support, as the service judges it, tell answers that their contexts hold from others?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from models.jsonl import read_jsonl
from models.stats import Estimate, auroc, estimate
from twofold.errors import InvalidInput, NotFound
from twofold.text.silence import hedged, leads_in
from twofold.text.statements import Statement, statements
from twofold.text.support import Passages, SentenceSupport, words

RESAMPLES = 1000
SEED = 20261129
SURE = 0.01
"""Probability beyond which log odds say no more."""
REFUSED = 0.02
"""The most that a sentence counts whose number, negation, order or address no context has."""
UNRELATED = ("", "unsupported", "uncited")


class GroundingRow(NamedTuple):
    """`label` 1: the contexts wholly support the answer."""

    id: str
    contexts: tuple[str, ...]
    answer: str
    label: int


class SentenceVerdict(NamedTuple):
    text: str
    support: float
    """Probability (0..1)."""
    problem: str
    """Empty where the service would say it."""


class AnswerVerdict(NamedTuple):
    row: GroundingRow
    score: float
    """The higher, the better supported (0..1)."""
    sentences: tuple[SentenceVerdict, ...]
    """Those that claim something."""

    @property
    def caught(self) -> bool:
        """Whether the service would take a sentence out."""
        return any(sentence.problem for sentence in self.sentences)


@dataclass(frozen=True, slots=True)
class GroundingReport:
    """An answer is called supported where no sentence of it is taken out: `balanced` accuracy, and
    `f1` of finding the unsupported ones."""

    n: int
    auroc: float
    auroc_ci: tuple[float, float]
    removed: Estimate
    caught: Estimate
    balanced: tuple[float, float, float]
    f1: tuple[float, float, float]

    def data(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "auroc": round(self.auroc, 4),
            "auroc_ci": [round(each, 4) for each in self.auroc_ci],
            "good_sentences_removed": round(self.removed.value, 4),
            "bad_answers_caught": round(self.caught.value, 4),
            "good_sentences_removed_ci": self.removed.data()["ci"],
            "bad_answers_caught_ci": self.caught.data()["ci"],
            "balanced_accuracy": round(self.balanced[0], 4),
            "balanced_accuracy_ci": [round(each, 4) for each in self.balanced[1:]],
            "f1": round(self.f1[0], 4),
            "f1_ci": [round(each, 4) for each in self.f1[1:]],
        }


def load_grounding(path: Path) -> list[GroundingRow]:
    """Returns rows `{id, question?, contexts: [...], answer, label}`. Raises NotFound, or
    InvalidInput naming the line."""
    try:
        return [_row(path, number, value) for number, value in read_jsonl(path)]
    except FileNotFoundError:
        raise NotFound(
            f"There is no {path}. It has one JSON object a line: id, contexts, answer, label."
        ) from None


def _row(path: Path, number: int, value: dict[str, Any]) -> GroundingRow:
    contexts, answer, label = (value.get(key) for key in ("contexts", "answer", "label"))
    if not isinstance(contexts, list) or not all(isinstance(each, str) for each in contexts):
        problem = "`contexts` must be a list of texts"
    elif not isinstance(answer, str):
        problem = "`answer` must be a text"
    elif label not in (0, 1):
        problem = "`label` must be 1 (wholly supported) or 0"
    else:
        return GroundingRow(str(value.get("id", number)), tuple(contexts), answer, int(label))
    raise InvalidInput(f"{path}: line {number}: {problem}.")


def judge_answer(row: GroundingRow, locale: str = "en") -> AnswerVerdict:
    """Judges each sentence of an answer as the service would before it is told."""
    passages = Passages([f"\n{context}" for context in row.contexts], locale)
    found, odds, lengths = [], [], []
    for each in statements(row.answer):
        bare = each.bare.strip()
        if not words(bare) or leads_in(bare) or hedged(bare) is not None:
            continue
        judged = _judged(each, bare, passages)
        found.append(SentenceVerdict(bare, judged.support, judged.problem))
        support = judged.support if judged.problem in UNRELATED else min(judged.support, REFUSED)
        support = min(1 - SURE, max(SURE, support))
        odds.append(math.log(support / (1 - support)))
        lengths.append(len(words(bare)))
    if not odds:
        return AnswerVerdict(row, 1.0, ())
    # A label speaks of the whole answer: half by its worst sentence, half by all of them.
    pooled = (min(odds) + float(np.average(odds, weights=lengths))) / 2
    return AnswerVerdict(row, 1 / (1 + math.exp(-pooled)), tuple(found))


def _judged(statement: Statement, bare: str, passages: Passages) -> SentenceSupport:
    if statement.kind == "table":
        return passages.judge_table(bare)
    return passages.judge(bare, statement.marks)


def report(verdicts: Sequence[AnswerVerdict]) -> GroundingReport:
    """Figures over answers. Raises InvalidInput where one of both labels is missing."""
    labels = np.array([verdict.row.label for verdict in verdicts])
    if len(set(labels.tolist())) < 2:
        raise InvalidInput("An AUROC needs answers of both labels, 1 and 0.")
    caught = np.array([verdict.caught for verdict in verdicts])
    good = [verdict for verdict in verdicts if verdict.row.label]
    removed = [(float(bool(s.problem)), v.row.id) for v in good for s in v.sentences]
    bad = [(float(v.caught), v.row.id) for v in verdicts if not v.row.label]

    def balanced(at: npt.NDArray[np.intp]) -> float:
        own, truth = caught[at], labels[at]
        return float((own[truth == 0].mean() + (~own[truth == 1]).mean()) / 2)

    def f1(at: npt.NDArray[np.intp]) -> float:
        own, truth = caught[at], labels[at] == 0
        both = float((own & truth).sum())
        return 2 * both / max(1.0, float(own.sum() + truth.sum()))

    area = auroc(
        [verdict.score for verdict in verdicts],
        [verdict.row.label == 1 for verdict in verdicts],
        range(len(verdicts)),
    )
    return GroundingReport(
        len(verdicts),
        area.value,
        (area.low, area.high),
        estimate([share for share, _ in removed], [row for _, row in removed]),
        estimate([share for share, _ in bad], [row for _, row in bad]),
        _interval(balanced, labels),
        _interval(f1, labels),
    )


def _interval(
    figure: Callable[[npt.NDArray[np.intp]], float], labels: npt.NDArray[np.int_]
) -> tuple[float, float, float]:
    """Returns the figure and its 95% interval: answers of each label are drawn again."""
    rng = np.random.default_rng(SEED)
    sides = [np.flatnonzero(labels == label) for label in (0, 1)]
    draws = [
        figure(np.concatenate([rng.choice(side, len(side)) for side in sides]))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return figure(np.concatenate(sides)), float(low), float(high)
