"""Fit what the composer weighs pieces by, into services/answer/generate/weights.json.

    python -m tools.fit.composer [--homes examples/brackwater/.twofold/cache/help-centers]

`--homes` holds the help centers that `twofold eval customer` indexed. Rows are the pieces of what
is packed for the tune halves of the example suite and of the customer turns, where an answer with
facts is due; a piece is right by the share of the facts that it says. A softmax over the pieces of
a question, fitted to put its weight on right ones; once with likeness as the matcher sees it, and
once with the embedder's. The report halves take no part. Prints how often the one, two and three
best pieces hold every fact, on questions left out of the fit.
"""

import argparse
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from datetime import time as clock
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from models.evaluate.labelled import digest_of
from models.suite.customer import fold, load_customer, says
from models.suite.suite import load_suite
from services.answer.contract import Question, Turn
from services.answer.generate import weigh
from services.answer.generate.sentences import Sentences
from services.answer.generate.weigh import CLUES, Meaning, Unit
from services.answer.search import search
from services.answer.search.guard import detect_locale
from services.answer.search.units import cut
from services.standalone.evals import open_corpus
from tools.fit.corpora import made_up
from tools.matcher.centers import DEV_CENTERS, load_center
from twofold.index.contract import Scope
from twofold.settings import Settings
from twofold.stack import Stack, open_stack
from twofold.text.blocks import plain, squeeze

EXAMPLE = Path("examples/brackwater")
OUT = Path(weigh.__file__).with_name("weights.json")
AUDIENCES = {"customer": {"customer"}, "internal": {"customer", "internal"}}
RIDGE = 0.03
FOLDS = 5
SEED = 7

_BULLET = re.compile(r"^[ \t]*+(?:[-*+]|\d{1,3}[.)])[ \t]++", re.MULTILINE)

Floats = npt.NDArray[np.float64]


Says = Callable[[Unit], list[bool]]
"""Which of what must be said a piece says."""


class Asked(NamedTuple):
    question: Question
    says: Says
    page: str
    """Questions about one page stay in one fold."""


class Fitted(NamedTuple):
    """A question's pieces: (n, clues), and what each says of what must be said, (n, facts)."""

    clues: Floats
    says: npt.NDArray[np.bool_]
    page: str

    @property
    def right(self) -> Floats:
        return np.asarray(self.says.mean(axis=1))


class Row(NamedTuple):
    """The pieces of a question with likeness as the matcher sees it, and as the embedder does. The
    first are those alone that hold."""

    matched: Fitted
    embedded: Fitted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--homes", type=Path, default=EXAMPLE / ".twofold/cache/help-centers")
    args = parser.parse_args()
    rows: list[Row] = []
    for home in sorted(args.homes.glob("customer-*")):
        name = home.name.removeprefix("customer-")
        with open_stack(Settings(home=home)) as stack:
            found = [*customer(name), *(suite() if name == "suite" else ())]
            rows += read_all(found, stack)
    for name in DEV_CENTERS:
        texts = made_up(name).texts
        settings = Settings(home=args.homes.parent.parent)
        with open_corpus(texts, digest_of(texts), "en", settings, lambda *_: None) as stack:
            rows += read_all(list(center(name, stack.settings.workspace)), stack)
    made: dict[str, object] = {"made_by": "python -m tools.fit.composer"}
    for name in ("matched", "embedded"):
        chosen = [getattr(row, name) for row in rows]
        print(name, end=": ")
        report(chosen)
        weights = zip(CLUES, fit(chosen), strict=True)
        made[name] = {clue: round(float(weight), 3) for clue, weight in weights}
    OUT.write_text(json.dumps(made, indent=1) + "\n")


def center(name: str, workspace: str) -> Iterator[Asked]:
    """Questions to a made-up help center, which the matcher was not trained on."""
    for row in load_center(name)["questions"]:
        if not row["answers"] or row["history"]:
            continue
        quotes = [squeeze(answer["quote"]) for answer in row["answers"]]
        question = asking(row["question"], "en", frozenset(), workspace=workspace)
        yield Asked(question, partial(quoted, quotes), row["answers"][0]["page"])


def quoted(quotes: Sequence[str], unit: Unit) -> list[bool]:
    said = squeeze(unit.piece.lines[-1] if unit.piece.head else unit.piece.shown)
    return [said in quote or quote in said for quote in map(plain_marks, quotes)]


def plain_marks(quote: str) -> str:
    """As a piece is shown: without what begins a list's item."""
    return squeeze(_BULLET.sub("", plain(quote)))


def told(facts: Sequence[Sequence[str]], unit: Unit) -> list[bool]:
    shown = fold(unit.piece.shown)
    return [any(says(shown, spelling) for spelling in fact) for fact in facts]


def customer(name: str) -> Iterator[Asked]:
    for turns in load_customer(EXAMPLE / "customer" / f"{name}.jsonl", "tune"):
        for turn in turns:
            if (
                turn.required
                and "ANSWER" in turn.action
                and not {"followup", "choice"} & set(turn.tags)
            ):
                yield Asked(
                    asking(turn.message, turn.locale, frozenset(turn.audience)),
                    partial(told, turn.required),
                    turn.gold[0] if turn.gold else turn.id,
                )


def suite() -> Iterator[Asked]:
    for case in load_suite(EXAMPLE / "eval", "tune"):
        if case.expect.action != "ANSWER" or not case.expect.facts:
            continue
        as_of = datetime.combine(case.as_of, clock(12), UTC).timestamp() if case.as_of else None
        audiences = frozenset(AUDIENCES.get(case.audience, ()))
        history = tuple(Turn(turn.role, turn.text) for turn in case.history)
        question = asking(case.question, case.locale, audiences, as_of, history)
        page = case.expect.documents[0].rpartition("/")[2]
        yield Asked(question, partial(told, case.expect.spellings), page)


def asking(
    text: str,
    locale: str | None,
    audiences: frozenset[str],
    as_of: float | None = None,
    history: tuple[Turn, ...] = (),
    workspace: str = "default",
) -> Question:
    scope = Scope(workspace, int(as_of or time.time()), audiences)
    return Question(text, text, locale or detect_locale(text, ("en", "de")), scope, as_of, history)


def read_all(found: Sequence[Asked], stack: Stack) -> list[Row]:
    sentences = Sentences(stack.embedder)
    return [row for each in found if (row := read(each, stack, sentences))]


def read(asked: Asked, stack: Stack, sentences: Sentences) -> Row | None:
    searched = search(asked.question, stack)
    pages = cut(searched.packed)
    question = searched.question
    text = question.standalone
    meaning = Meaning.read([text], pages, sentences, float("inf"), pieces=True)
    if not pages or meaning is None:
        return None
    vector = searched.found.vector
    near = next(iter(searched.matched.values()), {})
    both = [
        weigh.weigh(text, question.asked, vector, pages, searched.terms, meaning, matched)
        for matched in (near, {})
    ]
    if not all(both):
        return None
    return Row(
        *(
            Fitted(
                np.array([unit.clues for unit in units]),
                np.array([asked.says(unit) for unit in units]),
                asked.page,
            )
            for units in both
        )
    )


def fit(rows: list[Fitted]) -> Floats:
    """A weight for each clue."""
    rows = [row for row in rows if row.right.max() > 0]
    spread = np.concatenate([row.clues for row in rows]).std(axis=0) + 1e-6
    scaled = [(row.clues / spread, row.right / row.right.max()) for row in rows]

    def loss(weights: Floats) -> tuple[float, Floats]:
        total, slope = 0.0, np.zeros_like(weights)
        for clues, right in scaled:
            likely = clues @ weights
            likely = np.exp(likely - likely.max())
            likely /= likely.sum()
            share = float(likely @ right) + 1e-9
            total -= float(np.log(share))
            slope -= clues.T @ (likely * right / share - likely)
        n = len(scaled)
        return total / n + RIDGE * float(weights @ weights), slope / n + 2 * RIDGE * weights

    found = minimize(loss, np.zeros(len(CLUES)), jac=True, method="L-BFGS-B")
    return np.asarray(found.x / spread)


def report(rows: list[Fitted]) -> None:
    pages = sorted({row.page for row in rows})
    fold_of = dict(
        zip(pages, np.random.default_rng(SEED).permutation(len(pages)) % FOLDS, strict=True)
    )
    whole = dict.fromkeys((1, 2, 3), 0)
    for fold_ in range(FOLDS):
        weights = fit([row for row in rows if fold_of[row.page] != fold_])
        for row in rows:
            if fold_of[row.page] == fold_:
                order = np.argsort(-(row.clues @ weights))
                for k in whole:
                    whole[k] += bool(row.says[order[:k]].any(axis=0).all())
    shares = ", ".join(f"{k}: {n / len(rows):.3f}" for k, n in whole.items())
    print(f"{len(rows)} questions; every fact among the best {shares}")


if __name__ == "__main__":
    main()
