"""Training rows and evaluation rows that share no document, no conversation and no near-duplicate.

A document counts where it holds the answer: what was packed beside it is shared by everything.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from models.data.rows import Row
from twofold.errors import SetupError

NEAR = 0.7
"""Share of phrases in common (Jaccard) above which two texts say the same."""
SHINGLE = 3
"""Words of a phrase; of a shorter text the whole is one."""
PERMUTATIONS = 64
_WORD = re.compile(r"\w+")


def grouped(rows: Sequence[Row]) -> list[list[Row]]:
    """Returns rows that must stay together, each group in the order of `rows`."""
    first: dict[Tie, int] = {}
    tied = ((first.setdefault(tie, at), at) for at, row in enumerate(rows) for tie in ties(row))
    pairs = np.array([*tied, *alike(rows), *on_alike_passages(rows)], int).reshape(-1, 2).T
    joined = coo_array((np.ones(pairs.shape[1], bool), tuple(pairs)), (len(rows), len(rows)))
    _, labels = connected_components(joined, directed=False)
    groups: dict[int, list[Row]] = {}
    for row, label in zip(rows, labels.tolist(), strict=True):
        groups.setdefault(label, []).append(row)
    return list(groups.values())


def halves(rows: Sequence[Row], share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Returns (training, evaluation) with about `share` of the rows in the second, whole groups
    each.

    By hash of a group's ids, so that equal rows give equal halves.
    """
    room = share * len(rows)
    held: set[str] = set()
    for group in sorted(grouped(rows), key=lambda group: _draw(group, seed)):
        if len(held) + len(group) <= room:
            held |= {row.id for row in group}
    return [r for r in rows if r.id not in held], [r for r in rows if r.id in held]


class Tie(NamedTuple):
    """What rows have in common that must stay on one side."""

    kind: str
    what: str


def ties(row: Row) -> Iterator[Tie]:
    yield Tie("row", row.parent)
    yield Tie("conversation", opening(row))
    for n in row.gold:
        yield Tie("document", row.documents[n - 1].document)


def opening(row: Row) -> str:
    """Returns what a conversation began with, by its words: how it is known again."""
    first = row.history[0].text if row.history else row.question
    return " ".join(_WORD.findall(first.lower()))


def alike(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Yields pairs of indices, the earlier first, of rows whose question and reply say nearly the
    same.

    MinHash finds candidates, the exact index judges."""
    return _near((at, phrases(_spoken(row))) for at, row in enumerate(rows))


def on_alike_passages(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Yields the same as `near_pairs`, for the passages that hold the answer."""
    return _near(
        (at, phrases(row.documents[n - 1].text)) for at, row in enumerate(rows) for n in row.gold
    )


def phrases(text: str) -> frozenset[str]:
    words = _WORD.findall(text.lower())
    many = range(max(1, len(words) - SHINGLE + 1))
    return frozenset(" ".join(words[at : at + SHINGLE]) for at in many)


def _spoken(row: Row) -> str:
    """Returns the question, with the reply where it is not the house's fixed one."""
    fixed = row.expected.action != "ANSWER"
    turns = " ".join(turn.text for turn in row.history)
    return f"{turns} {row.question} {'' if fixed else row.text}"


def _near(texts: Iterable[tuple[int, frozenset[str]]]) -> Iterator[tuple[int, int]]:
    # Imported here: it takes a second, which every command would pay.
    try:
        from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise SetupError(
            "Near-duplicates are found by datasketch, which is not installed: pip install"
            " 'twofold[ingestion]'."
        ) from error

    # Bands that miss few at the threshold; the exact index below takes out what is too far.
    lsh = MinHashLSH(threshold=NEAR - 0.2, num_perm=PERMUTATIONS)
    known: dict[frozenset[str], set[int]] = {}
    for at, text in texts:
        if text in known:
            yield from ((other, at) for other in sorted(known[text]) if other != at)
            known[text].add(at)
            continue
        sketch = MinHash(PERMUTATIONS)
        sketch.update_batch([phrase.encode() for phrase in sorted(text)])
        for other in lsh.query(sketch):
            if len(text & other) / len(text | other) >= NEAR:
                yield from ((one, at) for one in sorted(known[other]) if one != at)
        lsh.insert(text, sketch)
        known[text] = {at}


def _draw(group: Sequence[Row], seed: int) -> str:
    name = f"{seed}:{min(row.id for row in group)}"
    return hashlib.sha256(name.encode()).hexdigest()
