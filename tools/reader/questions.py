"""What the reader is trained on: a question, the pieces that it would be shown, and which of them
answer; of one without an answer, none does.

A help center's pieces are searched as the service does it, by the matcher, so that what stands
beside the answer is what stands there in use.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from tools.matcher.centers import DEV_CENTERS, names
from tools.matcher.examples import Asked, Builder, Grouped, add_center, load_groups
from twofold.clients.matcher import Matcher

SHOWN: Final = 12
"""Pieces nearest to a question, of which the reader is shown some."""
OTHERS: Final = ("squad2_train", "squad2_dev", "doc2dial", "selqa", "covid_qa", "qed_dev", "docs")


class Case(NamedTuple):
    """`answers` and `others`: texts of pieces, the others nearest first."""

    source: str
    question: str
    answers: tuple[str, ...]
    others: tuple[str, ...]


def load(pairs: Path, doc2dial: Path, matcher: Matcher) -> tuple[list[Case], list[Case]]:
    """To train on, and to measure with."""
    train, dev = [], []
    for name in names():
        builder = Builder()
        add_center(builder, name)
        cases = list(_of_center(name, builder.made(), matcher))
        (dev if name in DEV_CENTERS else train).extend(cases)
    groups = load_groups(pairs, doc2dial)
    for into, found in zip((train, dev), groups, strict=True):
        for source, held in found.items():
            if source in OTHERS:
                into.extend(_of_group(source, held))
    return train, dev


def _of_center(name: str, held: Grouped, matcher: Matcher) -> Iterator[Case]:
    texts = list(held.pool.texts)
    vectors = matcher.vectors(texts)
    matrix = np.array([vectors[text] for text in texts])
    asked = matcher.vectors([each.question for each in held.asked])
    for each in held.asked:
        order = np.argsort(-(matrix @ asked[each.question]), kind="stable")
        yield _case(f"center {name}", each, texts, [int(at) for at in order[: SHOWN + 8]])


def _of_group(source: str, held: Grouped) -> Iterator[Case]:
    for each in held.asked:
        near = [at for at in held.pool.near(each.question) if at in each.near]
        rest = [at for at in each.near if at not in near]
        yield _case(source, each, held.pool.texts, [*near, *rest])


def _case(source: str, each: Asked, texts: Sequence[str], order: Sequence[int]) -> Case:
    answers = tuple(dict.fromkeys(texts[at] for at in each.gold))
    others = dict.fromkeys(texts[at] for at in order if at not in each.gold)
    return Case(source, each.question, answers, tuple(t for t in others if t not in answers))
