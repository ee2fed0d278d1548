"""Fits what the evidence says of a question: `services/answer/search/evidence.json`.

    python -m tools.fit.evidence --data ../shared/data [--home .twofold] [--matched] [--write]

Two log odds of a search against a gap: that the corpus answers, and that the question is foreign to
it. In each corpus, whatever its size, both kinds of questions weigh the same. Each corpus is also
judged by weights that never saw it; those figures are printed, with how well stated probabilities
agree with what is true. A third is for passages that nobody searched for, fitted on people's
labels. The first two are fitted again with what the matcher says, on the corpora that it was not
trained on; `--matched` does that alone, where only matcher or reader changed. `--home` keeps the
indexes.
"""

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from models.evaluate.labelled import digest_of
from models.stats import auroc, caught_at
from services.answer.contract import Clues
from services.answer.search import packed
from services.answer.search.evidence import FOREIGN, WEIGHTS
from services.answer.search.match import match, nearest_first
from services.standalone.evals import open_corpus
from tools.fit.corpora import Case, Corpus, corpora
from tools.fit.gather import Kind, Row, foreign_rows, given_rows, rows
from twofold.settings import Settings
from twofold.stack import Stack

RIDGE = 0.003
"""Penalty on the weights of clues in units of their own spread."""
FULL_WEIGHT = 300
"""Rows from which on a corpus counts in full."""
GIVEN = 400
"""Questions of a corpus that are put to given passages."""
UNMATCHED = tuple(name for name in Clues._fields if name not in ("matched", "read"))
ALONE = ("cosine", "passage", "likeness")
"""Clues that say the same of a passage whether others were found beside it or not."""
STRANGERS = 25
"""Questions of each corpus that the others are asked, as foreign ones."""
BINS = 10

Floats = npt.NDArray[np.float64]


class Seen(NamedTuple):
    """A corpus as the fit sees it: clues (n, clues), what each question is, and clusters."""

    clues: Floats
    kinds: npt.NDArray[np.str_]
    clusters: tuple[str, ...]
    weight: float

    def against_gaps(self, kind: Kind) -> "Seen":
        """The questions of `kind`, and the gaps."""
        here = (self.kinds == kind) | (self.kinds == "gap")
        clusters = tuple(c for c, kept in zip(self.clusters, here, strict=True) if kept)
        return Seen(self.clues[here], self.kinds[here], clusters, self.weight)

    def only(self, names: Sequence[str]) -> "Seen":
        """The same, seen by these clues alone; the others are 0, and weigh nothing."""
        kept = np.array([name in names for name in Clues._fields], np.float64)
        return self._replace(clues=self.clues * kept)

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.kinds != "gap")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of third-party data")
    parser.add_argument("--home", type=Path, default=Settings().home)
    parser.add_argument(
        "--matched", action="store_true", help="fit only what matcher and reader say"
    )
    parser.add_argument("--write", action="store_true", help="replace the weights that are shipped")
    options = parser.parse_args()
    settings = Settings(home=options.home)
    seen, passages, read = {}, {}, {}
    every = list(corpora(options.data))
    for corpus in every:
        if options.matched and not corpus.unread:
            continue
        digest = digest_of(corpus.texts)
        others = [case for other in every if other is not corpus for case in few(other, STRANGERS)]
        with open_corpus(corpus.texts, digest, "en", settings, lambda *_: None) as stack:
            if corpus.weight:
                found = chain(rows(stack, corpus.cases), foreign_rows(stack, others))
                whole = see(found, stack, corpus.weight, matching=corpus.unread)
                seen[corpus.name] = whole.only(UNMATCHED)
                if corpus.unread:
                    read[corpus.name] = whole
            if not options.matched and any(case.not_by for case in corpus.cases):
                given = see(given_rows(stack, few(corpus, GIVEN)), stack, 1.0)
                passages[corpus.name] = given.only(ALONE)
        print(f"{corpus.name}: {len(corpus.cases):,} questions", flush=True)
    if not options.matched:
        report(seen)
        report_given(passages)
    print("\nwith the matcher")
    report(read)
    if options.write:
        write({} if options.matched else seen, read, passages)


def few(corpus: Corpus, count: int) -> list[Case]:
    """The first so many questions, in an order that says nothing."""
    return sorted(corpus.cases, key=lambda case: sha256(case.id.encode()).digest())[:count]


def report_given(seen: Mapping[str, Seen]) -> None:
    """Each source of passages under weights fitted on the others."""
    print("\npassages       rows  AUROC  cosine alone")
    for name, each in seen.items():
        weights = fit([other for key, other in seen.items() if key != name])
        area, alone = (
            auroc(scores, each.hits, each.clusters).value
            for scores in (logits(weights, each.clues), each.clues[:, 0])
        )
        print(f"{name:14} {len(each.kinds):4}  {area:.3f}  {alone:.3f}")


def see(found: Iterable[Row], stack: Stack, weight: float, *, matching: bool = False) -> Seen:
    seen, kinds, clusters = [], [], []
    for row in found:
        if not row.found.candidates:
            continue
        near, found_now = {}, row.found
        if matching and stack.matcher is not None:
            near = match(row.question, row.found, stack.matcher, stack.reader)
            found_now = nearest_first(row.question, row.found, near)
        searched = packed(row.question, found_now, stack, near)
        seen.append(searched.evidence.clues)
        kinds.append(row.kind)
        clusters.append(row.cluster)
    return Seen(np.array(seen, np.float64), np.array(kinds), tuple(clusters), weight)


def fit(corpora: Sequence[Seen]) -> Floats:
    """Logistic regression of one kind against gaps: a weight for each clue, then the bias."""
    x = np.concatenate([each.clues for each in corpora])
    y = np.concatenate([each.hits for each in corpora]).astype(np.float64)
    share = np.concatenate([each.weight * _shares(each.hits) for each in corpora])
    share /= share.sum()
    middle, spread = x.mean(axis=0), x.std(axis=0) + 1e-9
    z = np.c_[(x - middle) / spread, np.ones(len(x))]

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = z @ weights
        penalty = np.r_[weights[:-1], 0.0]
        value = share @ (np.logaddexp(0, logits) - y * logits) + RIDGE * penalty @ penalty
        slope = z.T @ (share * (1 / (1 + np.exp(-logits)) - y)) + 2 * RIDGE * penalty
        return float(value), slope

    best = minimize(loss, np.zeros(z.shape[1]), jac=True, method="L-BFGS-B").x
    weights = best[:-1] / spread
    return np.asarray(np.r_[weights, best[-1] - weights @ middle])


def fit_both(corpora: Sequence[Seen]) -> tuple[Floats, Floats]:
    """Weights of both log odds."""
    return (
        fit([each.against_gaps("answerable") for each in corpora]),
        fit([each.against_gaps("foreign") for each in corpora]),
    )


def logits(weights: Floats, x: Floats) -> Floats:
    return np.asarray(x @ weights[:-1] + weights[-1])


def probabilities(answerable: Floats, foreign: Floats, x: Floats) -> Floats:
    """That each question has an answer, as `services.answer.search.evidence` states it."""
    unanswered = np.log1p(FOREIGN * np.expm1(logits(foreign, x)))
    return np.asarray(1 / (1 + np.exp(unanswered - logits(answerable, x))))


def report(seen: Mapping[str, Seen]) -> None:
    """Each corpus under weights fitted on the others."""
    stated, truth, shares = [], [], []
    print("corpus         rows  AUROC  95% interval    caught at 95% kept  cosine alone  foreign")
    for name, own in seen.items():
        each, strange = own.against_gaps("answerable"), own.against_gaps("foreign")
        answerable, foreign = fit_both([other for key, other in seen.items() if key != name])
        p = probabilities(answerable, foreign, each.clues)
        area = auroc(p, each.hits, each.clusters)
        alone = auroc(each.clues[:, 0], each.hits, each.clusters)
        far = auroc(logits(foreign, strange.clues), strange.hits, strange.clusters)
        print(
            f"{name:12} {area.n:6,}  {area.value:.3f}  [{area.low:.3f}, {area.high:.3f}]"
            f"  {caught_at(p, each.hits):.3f}               {alone.value:.3f}"
            f"         {far.value:.3f}"
        )
        stated.append(p)
        truth.append(each.hits)
        shares.append(_shares(each.hits))
    p, y, share = (np.concatenate(parts) for parts in (stated, truth, shares))
    print("\nstated, where the corpus took no part in the fit; true; share of questions")
    for low in np.arange(BINS) / BINS:
        here = (p >= low) & (p < low + 1 / BINS)
        if here.any():
            weight = share[here] / share[here].sum()
            of_all = share[here].sum() / share.sum()
            print(f"{weight @ p[here]:.2f}  {weight @ y[here]:.2f}  {of_all:.2f}")


def write(seen: Mapping[str, Seen], read: Mapping[str, Seen], passages: Mapping[str, Seen]) -> None:
    """Replaces the weights that were fitted; those of nothing seen stay."""
    names = (*Clues._fields, "bias")
    made = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    both = fit_both(list(read.values()))
    fitted = dict(zip(("answerable_matched", "foreign_matched"), both, strict=True))
    made["rows_matched"] = {name: len(each.kinds) for name, each in read.items()}
    if seen:
        fitted |= zip(("answerable", "foreign"), fit_both(list(seen.values())), strict=True)
        fitted["given"] = fit(list(passages.values()))
        rows_of = (*seen.items(), *passages.items())
        made["rows"] = {name: len(each.kinds) for name, each in rows_of}
    made["weights"] |= {
        kind: {n: round(float(w), 4) for n, w in zip(names, weights, strict=True) if w}
        for kind, weights in fitted.items()
    }
    WEIGHTS.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")


def _shares(hits: npt.NDArray[np.bool_]) -> Floats:
    """Weights of a corpus's rows, that sum to 1 (less for a small one), half of it each kind."""
    total = min(1.0, len(hits) / FULL_WEIGHT)
    counts = np.where(hits, hits.sum(), (~hits).sum())
    return np.asarray(total / 2 / counts, np.float64)


if __name__ == "__main__":
    main()
