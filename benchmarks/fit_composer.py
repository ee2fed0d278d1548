"""Refit what the composer weighs sentences by (WEIGHTS of services/answer/generate/compose.py).

    python -m benchmarks.fit_composer [--home .twofold] [--suite examples/brackwater/eval]

`--home` holds the index of the example help center. Rows are the units (sentences, items, lists of
steps, tables, blocks of code) of what is packed for the answerable questions of the suite's tune
half; a unit is right where it says a key fact of its question. Logistic regression. The report half
takes no part in the fit. Prints the constants, and how often the one, two, three and five best
units hold a key fact: on questions left out of the fit, and on the report half.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from benchmarks.fit_evidence import as_question
from models.evaluate.facts import says
from models.evaluate.suite import Split, load_suite
from services.answer.generate import sentences
from services.answer.generate.compose import CLUES, Wanted, units
from services.answer.generate.sentences import Sentences
from services.answer.pack import Terms, pack
from services.answer.precedence import holding
from services.answer.retrieve import retrieve
from twofold.house import HousePolicy, load_house
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

RIDGE = 0.0001
FOLDS = 5
BEST = (1, 2, 3, 5)

Floats = npt.NDArray[np.float64]


class Rows(NamedTuple):
    clues: Floats
    """(units, clues)"""
    right: npt.NDArray[np.bool_]
    question: npt.NDArray[np.intp]
    cluster: npt.NDArray[np.intp]
    """Questions about one document stay in one fold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Settings().home)
    parser.add_argument("--house", type=Path, default=Settings().house)
    parser.add_argument("--suite", type=Path, default=Path("examples/brackwater/eval"))
    args = parser.parse_args()
    house = load_house(args.house)
    sentences.LATE_S = 60  # nobody waits
    with open_stack(Settings(home=args.home)) as stack:
        tune, report = (rows(stack, house, args.suite, split) for split in ("tune", "report"))
    weights = fit(tune)
    print(f"WEIGHTS = ({', '.join(f'{weight:.2f}' for weight in weights[:-1])})  # {CLUES}")
    left_out = np.empty(len(tune.right))
    for fold in range(FOLDS):
        out = tune.cluster % FOLDS == fold
        left_out[out] = with_one(tune.clues[out]) @ fit(Rows(*(each[~out] for each in tune)))
    for name, some, scores in (
        (f"tune, {FOLDS} folds", tune, left_out),
        ("report", report, with_one(report.clues) @ weights),
    ):
        found = ", ".join(f"{k}: {among_best(some, scores, k):.3f}" for k in BEST)
        print(f"{name}: a key fact among the best {found}")


def rows(stack: Stack, house: HousePolicy, suite: Path, split: Split) -> Rows:
    likeness = Sentences(stack.embedder)
    clues, right, question, cluster = [], [], [], []
    clusters: dict[str, int] = {}
    cases = [case for case in load_suite(suite, split) if case.expect.facts]
    for number, case in enumerate(cases):
        asked = as_question(case, house)
        found = holding(retrieve(asked, stack), asked)
        terms = Terms(stack.sparse, asked.locale, found)
        settings = stack.settings
        packed, _ = pack(found, terms, settings.context_chunks, settings.context_chars)
        facts = [[fact] if isinstance(fact, str) else fact for fact in case.expect.facts]
        for unit in units(packed, Wanted(asked, found.vector, terms, likeness)):
            clues.append(unit.clues)
            right.append(any(says("\n".join(unit.lines), fact) for fact in facts))
            question.append(number)
            cluster.append(clusters.setdefault(case.cluster, len(clusters)))
    return Rows(np.array(clues), np.array(right), np.array(question), np.array(cluster))


def fit(some: Rows) -> Floats:
    """A weight for each clue, and a bias."""
    x, sign = with_one(some.clues), np.where(some.right, 1.0, -1.0)

    def loss(weights: Floats) -> float:
        wrong = np.logaddexp(0, -sign * (x @ weights)).mean()
        return float(wrong + RIDGE * (weights[:-1] ** 2).sum())

    return np.asarray(minimize(loss, np.zeros(x.shape[1]), method="L-BFGS-B").x)


def with_one(clues: Floats) -> Floats:
    return np.asarray(np.c_[clues, np.ones(len(clues))])


def among_best(some: Rows, scores: Floats, k: int) -> float:
    """Share of the questions that have a right unit among the `k` best."""
    hits = []
    for number in np.unique(some.question):
        own = some.question == number
        hits.append(some.right[own][np.argsort(-scores[own])[:k]].any())
    return float(np.mean(hits))


if __name__ == "__main__":
    main()
