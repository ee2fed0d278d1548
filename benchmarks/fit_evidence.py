"""Refit the evidence model of services/answer/evidence.py: what the clues say of a question's kind.

    python -m benchmarks.fit_evidence [--home .twofold] [--suite examples/brackwater/eval]

`--home` holds the index of the example help center. Answerable: questions of the suite's tune half
that expect ANSWER, and those of the calibration file. Gaps: those of both files, the house's own
examples, and the answerable ones with their documents taken out of the results. Off topic and
vague: the tune half's, and the house's examples. The report half takes no part. Prints the
constants, and how they do on questions left out of the fit.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata

from models.evaluate.suite import Case, load_suite
from services.answer.condense import condense
from services.answer.contract import Found, Question, Turn
from services.answer.costs import ANSWERABLE, GAP
from services.answer.evidence import clues
from services.answer.guard import detect_locale
from services.answer.intent import OFF_TOPIC, VAGUE
from services.answer.pack import Terms, pack
from services.answer.retrieve import retrieve
from twofold.house import HousePolicy, load_house
from twofold.index import Scope
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

TODAY = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()
"""The day on which the example company lives."""
AUDIENCES = {"customer": {"customer"}, "internal": {"customer", "internal"}}
KINDS = (GAP, ANSWERABLE, OFF_TOPIC, VAGUE)
RIDGE = 0.0003
FOLDS = 10

Floats = npt.NDArray[np.float64]


class Row(NamedTuple):
    """One question's clues, what kind it is, where it came from, and which question it was."""

    clues: tuple[float, ...]
    kind: str
    origin: str
    question: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Settings().home)
    parser.add_argument("--house", type=Path, default=Settings().house)
    parser.add_argument("--suite", type=Path, default=Path("examples/brackwater/eval"))
    parser.add_argument(
        "--calibration", type=Path, default=Path("examples/brackwater/calibration.yaml")
    )
    args = parser.parse_args()
    house = load_house(args.house)
    with open_stack(Settings(home=args.home)) as stack:
        rows = [
            *suite_rows(stack, house, args.suite),
            *house_rows(stack, house),
            *calibration_rows(stack, house, args.calibration),
        ]
    report(rows)


def suite_rows(stack: Stack, house: HousePolicy, path: Path) -> Iterator[Row]:
    kinds = {"ANSWER": ANSWERABLE, "CLARIFY": VAGUE, "DECLINE": OFF_TOPIC}
    for case in load_suite(path, "tune"):
        kind = kinds.get(case.expect.action, case.expect.reason)
        if kind not in KINDS:
            continue
        question = as_question(case, house)
        found = retrieve(question, stack)
        yield Row(clues_of(question, found, stack), kind, "suite", case.id)
        if kind == ANSWERABLE:
            gold = tuple(case.expect.documents)
            left = tuple(c for c in found.candidates if not c.chunk.key.endswith(gold))
            without = replace(found, candidates=left)
            yield Row(clues_of(question, without, stack), GAP, "removed", case.id)


def house_rows(stack: Stack, house: HousePolicy) -> Iterator[Row]:
    examples = {
        GAP: house.reasons[GAP].examples,
        OFF_TOPIC: house.off_topic_examples,
        VAGUE: house.vague_examples,
    }
    for kind, texts in examples.items():
        for text in texts:
            question = plain_question(text, house)
            found = retrieve(question, stack)
            yield Row(clues_of(question, found, stack), kind, "house", text)


def calibration_rows(stack: Stack, house: HousePolicy, path: Path) -> Iterator[Row]:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    texts = [(text, GAP) for text in data["gaps"]]
    texts += [(row["question"], ANSWERABLE) for row in data["answerable"]]
    for text, kind in texts:
        question = plain_question(text, house)
        found = retrieve(question, stack)
        yield Row(clues_of(question, found, stack), kind, "calibration", text)


def plain_question(text: str, house: HousePolicy) -> Question:
    scope = Scope("default", int(TODAY), frozenset())
    return Question(text, text, detect_locale(text, house.locales), scope, None)


def as_question(case: Case, house: HousePolicy) -> Question:
    history = tuple(Turn(turn.role, turn.text) for turn in case.history)
    as_of = datetime.combine(case.as_of, time(12), UTC).timestamp() if case.as_of else None
    audiences = frozenset(AUDIENCES.get(case.audience, ()))
    return Question(
        asked=case.question,
        standalone=condense(case.question, history),
        locale=case.locale or detect_locale(case.question, house.locales),
        scope=Scope("default", int(as_of or TODAY), audiences),
        as_of=as_of,
        history=history,
    )


def clues_of(question: Question, found: Found, stack: Stack) -> tuple[float, ...]:
    terms = Terms(stack.sparse, question.locale, found)
    budget = (stack.settings.context_chunks, stack.settings.context_chars)
    return clues(question, found, pack(found, terms, *budget)[1])


def report(rows: list[Row]) -> None:
    x = np.array([row.clues for row in rows])
    y = np.array([KINDS.index(row.kind) for row in rows])
    origins = np.array([row.origin for row in rows])
    # Each kind weighs the same, and within gaps each origin does.
    groups = np.unique([f"{row.kind}/{row.origin}" for row in rows], return_inverse=True)[1]
    share = 1 / np.bincount(groups)[groups]
    share /= np.bincount(y, weights=share)[y] * len(KINDS)
    questions, of = np.unique([row.question for row in rows], return_inverse=True)
    fold = np.random.default_rng(0).permutation(len(questions))[of] % FOLDS
    held_out = np.empty((len(rows), len(KINDS)))
    for k in range(FOLDS):
        inside = fold != k
        held_out[~inside] = predict(fit(x[inside], y[inside], share[inside]), x[~inside])
    print("WEIGHTS = {")
    for kind, weights in zip(KINDS[1:], fit(x, y, share).T, strict=True):
        print(f"    {kind}: ({', '.join(f'{w:.2f}' for w in weights)}),")
    print(f"}}\n{FOLDS} folds by question, {len(rows)} rows")
    answerable = held_out[:, KINDS.index(ANSWERABLE)]
    positive = y == KINDS.index(ANSWERABLE)
    for kind, origin in sorted({(row.kind, row.origin) for row in rows}):
        here = (y == KINDS.index(kind)) & (origins == origin)
        line = f"{kind} ({origin}, {here.sum()}): fits ANSWERABLE {quantiles(answerable[here])}"
        if kind != ANSWERABLE:
            both = positive | here
            line += f", AUROC {area(answerable[both], positive[both]):.3f}"
        print(line)


def fit(x: Floats, y: npt.NDArray[np.intp], share: Floats) -> Floats:
    """Multinomial logistic regression against the first kind: (clues + 1, kinds - 1)."""
    z = np.c_[x, np.ones(len(x))]
    shape = (z.shape[1], len(KINDS) - 1)

    def loss(flat: Floats) -> float:
        w = flat.reshape(shape)
        logits = np.c_[np.zeros(len(z)), z @ w]
        return float(-share @ log_softmax(logits, axis=1)[np.arange(len(y)), y]) + float(
            RIDGE * (w[:-1] ** 2).sum()
        )

    return np.asarray(minimize(loss, np.zeros(shape).ravel(), method="L-BFGS-B").x).reshape(shape)


def predict(weights: Floats, x: Floats) -> Floats:
    return np.asarray(softmax(np.c_[np.zeros(len(x)), np.c_[x, np.ones(len(x))] @ weights], axis=1))


def area(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    """AUROC, by ranks."""
    n = int(positive.sum())
    ranks = rankdata(scores)[positive].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (len(scores) - n)))


def quantiles(values: Floats) -> str:
    low, middle, high = np.quantile(values, [0.1, 0.5, 0.9])
    return f"p10 {low:.2f}, p50 {middle:.2f}, p90 {high:.2f}"


if __name__ == "__main__":
    main()
