"""Fit how the signs of support are weighed, and write `twofold/text/support.json`.

    python -m tools.fit.support --pairs FOLDER [--doc2dial FOLDER] [--write]

FOLDER holds `grounding.jsonl` (rows of `context, sentence_or_answer, label, source, split`) and
`pairs_*.jsonl`, whose passages tell how rare words are. Fitted on the rows of split `train`, but
for the sources HELD_OUT; each also with other passages of its source around its own, as a reply has
several. With `--doc2dial`, also on what people wrote as agents (tune half) against the same
sentences beside another section. Logistic regression on SIGNS and their squares, signs bounded to
the direction they must have; an answer's log odds are the mean of those of its worst sentence and
of all of them, because a label speaks of the whole answer. Prints AUROC by source and split, of
word overlap with a check of numbers as well.
"""

import argparse
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import rankdata

from benchmarks import verify
from twofold.index.sparse import Bm25Encoder
from twofold.text import support
from twofold.text.numbers import numbers
from twofold.text.statements import statements
from twofold.text.support import SIGNS, Passage, bare, words
from twofold.text.wording import stem

HELD_OUT: Final = ("begin_tc", "begin_cmu")
DIRECTION: Final = {"missing": -1, "self": -1, "numbers": -1}
"""Of a sign's weight; 1 for the others: more of it never speaks against a sentence."""
WEIGHED: Final = {"doc2dial": 2.0}
"""Beside 1 for each other source: help pages are what replies rest on."""
OF_ANSWERS: Final = ("faithdial_audit", "fool_me_twice")
"""Sources whose supported answers hold sentences that are not, or that only follow from it."""
AROUND: Final = 3
"""Other contexts that stand around a row's own, in its second copy."""
TABLE: Final = 3000
PASSAGES: Final = 2500
"""Passages of each file that the table of rarity is counted on."""
RIDGE: Final = 1e-3
ROUNDS: Final = 4
GOOD_REMOVED: Final = 0.04
"""Share of supported sentences that the bound on the probability may take out, in training."""
ENCODER = Bm25Encoder()

Floats = npt.NDArray[np.float64]


class Case(NamedTuple):
    source: str
    split: str
    label: int
    signs: Floats
    """(sentences, signs)"""
    lengths: Floats
    """Words of each sentence."""
    overlap: float
    """Share of the answer's content terms in the context; 1 less where a number is missing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--doc2dial", type=Path)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    table = rarity(args.pairs)
    support.FITTED.rarity.clear()
    support.FITTED.rarity.update(table)
    rng = random.Random(1)
    rows = [json.loads(line) for line in (args.pairs / "grounding.jsonl").open(encoding="utf-8")]
    plain = [case(row, row["context"]) for row in rows]
    padded = list(surrounded(rows, rng))
    fitting = [c for c in (*plain, *padded) if c.split == "train" and c.source not in HELD_OUT]
    if args.doc2dial:
        fitting += list(agents(args.doc2dial, rng))
    bias, weights, squares = fit(fitting)
    least = bound(fitting, bias, weights, squares)
    score = scorer(bias, weights, squares)
    report(plain, score)
    report(padded, score, "among other passages, ")
    fitted = {
        "bias": round(bias, 4),
        "weights": {sign: round(float(w), 4) for sign, w in zip(SIGNS, weights, strict=True)},
        "squares": {sign: round(float(w), 4) for sign, w in zip(SIGNS, squares, strict=True)},
        "least": round(least, 3),
    }
    print(json.dumps(fitted))
    if args.write:
        path = Path(support.__file__).with_name("support.json")
        text = json.dumps({**fitted, "rarity": table}, ensure_ascii=False, indent=0)
        path.write_text(text + "\n", encoding="utf-8")


def rarity(folder: Path) -> dict[str, float]:
    """The TABLE commonest stems: natural log of one over their share of passages."""
    held: Counter[str] = Counter()
    texts = 0
    for path in sorted(folder.glob("pairs_*.jsonl")):
        rows = [json.loads(line) for line in path.open(encoding="utf-8")]
        rows = [row for row in rows if row["split"] == "train"]
        for row in random.Random(1).sample(rows, PASSAGES):
            held.update({stem(w) for w in words(row["passage"]) if w.isascii() and w.isalpha()})
            texts += 1
    common = sorted(held.items(), key=lambda each: (-each[1], each[0]))[:TABLE]
    return {word: round(math.log(texts / n), 2) for word, n in common}


def case(row: dict[str, Any], context: str) -> Case:
    said = [each.bare for each in statements(row["sentence_or_answer"])] or [""]
    passage = Passage("\n" + context, "en")
    return Case(
        row["source"],
        row["split"],
        row["label"],
        np.array([passage.signs(bare(each)) for each in said]),
        np.array([len(words(each)) + 1.0 for each in said]),
        overlap(row["sentence_or_answer"], context),
    )


def overlap(answer: str, context: str) -> float:
    said, held = ENCODER.terms(answer), ENCODER.terms(context)
    share = len(said & held) / len(said) if said else 0.5
    return share - (not numbers(answer) <= numbers(context))


def surrounded(rows: Sequence[dict[str, Any]], rng: random.Random) -> Iterator[Case]:
    """Each row with its context among others of its source and split."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["split"]), []).append(row["context"])
    for row in rows:
        others = groups[row["source"], row["split"]]
        texts = [*rng.sample(others, min(AROUND, len(others))), row["context"]]
        rng.shuffle(texts)
        yield case(row, "\n\n".join(dict.fromkeys(texts)))


def agents(folder: Path, rng: random.Random) -> Iterator[Case]:
    """What agents wrote with its section, and with another one."""
    said = list(verify.agents(folder, "tune"))
    for each in said:
        other = rng.choice(said)
        for label, section in ((1, each.section), (0, other.section)):
            if label or section != each.section:
                text = "\n".join((" > ".join(section.heading), section.text))
                passage = Passage(text, "en")
                signs = np.array([passage.signs(bare(each.sentence))])
                yield Case("doc2dial", "train", label, signs, np.ones(1), 0.0)


def fit(cases: Sequence[Case]) -> tuple[float, Floats, Floats]:
    """Bias, weights and weights of the squares, (signs,) each."""
    label = np.array([c.label for c in cases], dtype=np.float64)
    counts = Counter(c.source for c in cases)
    weigh = np.array([WEIGHED.get(c.source, 1.0) / math.sqrt(counts[c.source]) for c in cases])
    low = [0 if DIRECTION.get(sign, 1) > 0 else None for sign in SIGNS]
    high = [0 if DIRECTION.get(sign, 1) < 0 else None for sign in SIGNS]
    worst = [int(np.argmin(c.signs[:, 0])) for c in cases]
    at = np.zeros(2 * len(SIGNS) + 1)
    for _ in range(ROUNDS):
        inputs = np.array([_pooled(c, w) for c, w in zip(cases, worst, strict=True)])
        at = _regress(inputs, label, weigh, [*low, *low], [*high, *high])
        worst = [int(np.argmin(_both(c.signs) @ at[:-1])) for c in cases]
    return float(at[-1]), at[: len(SIGNS)], at[len(SIGNS) : -1]


def _both(signs: Floats) -> Floats:
    return np.hstack((signs, signs**2))


def _pooled(c: Case, worst: int) -> Floats:
    both = _both(c.signs)
    return np.asarray((both[worst] + c.lengths @ both / c.lengths.sum()) / 2)


def _regress(
    inputs: Floats,
    label: Floats,
    weigh: Floats,
    low: Sequence[float | None],
    high: Sequence[float | None],
) -> Floats:
    spread = inputs.std(axis=0) + 1e-9
    scaled = np.c_[inputs / spread, np.ones(len(inputs))]

    def loss(at: Floats) -> tuple[float, Floats]:
        odds = scaled @ at
        off = weigh * (1 / (1 + np.exp(-odds)) - label)
        slope = scaled.T @ off / weigh.sum()
        slope[:-1] += 2 * RIDGE * at[:-1]
        value = weigh @ (np.logaddexp(0, odds) - label * odds) / weigh.sum()
        return float(value + RIDGE * (at[:-1] @ at[:-1])), slope

    bounds = [*zip(low, high, strict=True), (None, None)]
    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds)
    fitted: Floats = np.r_[found.x[:-1] / spread, found.x[-1]]
    return fitted


def scorer(bias: float, weights: Floats, squares: Floats) -> Callable[[Case], float]:
    at = np.r_[weights, squares]

    def score(c: Case) -> float:
        odds = _both(c.signs) @ at + bias
        return float((odds.min() + c.lengths @ odds / c.lengths.sum()) / 2)

    return score


def bound(cases: Sequence[Case], bias: float, weights: Floats, squares: Floats) -> float:
    """The probability that GOOD_REMOVED of the sentences of supported answers do not reach; each
    source counts the same."""
    at = np.r_[weights, squares]
    sources = sorted({c.source for c in cases if c.source not in OF_ANSWERS})
    odds = [
        np.concatenate([_both(c.signs) @ at + bias for c in cases if c.label and c.source == each])
        for each in sources
    ]
    cut = float(np.mean([np.quantile(each, GOOD_REMOVED) for each in odds]))
    return 1 / (1 + math.exp(-cut))


def report(cases: Sequence[Case], score: Callable[[Case], float], how: str = "") -> None:
    sources = sorted({c.source for c in cases})
    for name in (*sources, "all but held out"):
        for split in ("train", "dev"):
            some = [c for c in cases if c.split == split and (c.source == name or (
                name not in sources and c.source not in HELD_OUT))]  # fmt: skip
            if len(some) >= 30 and len({c.label for c in some}) == 2:
                held = " (held out)" if name in HELD_OUT else ""
                ours, theirs = (auroc(some, by) for by in (score, lambda c: c.overlap))
                print(f"{how}{name}{held}, {split}, {len(some)}: {ours:.3f}; overlap {theirs:.3f}")


def auroc(cases: Sequence[Case], score: Callable[[Case], float]) -> float:
    label = np.array([c.label for c in cases])
    ranks = rankdata([score(c) for c in cases])
    good, bad = int(label.sum()), int((1 - label).sum())
    return float((ranks[label == 1].sum() - good * (good + 1) / 2) / (good * bad))


if __name__ == "__main__":
    main()
