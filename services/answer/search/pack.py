"""Pack: which candidates the reply maker sees."""

import math

from services.answer.contract import Candidate, Found
from twofold.index.sparse import Bm25Encoder

SAME_TEXT = 0.85
"""Chunks whose terms overlap this much (Jaccard) say the same; the better one is kept."""


class Terms:
    """Stemmed content terms of texts; the question's weigh by rarity among candidates."""

    def __init__(self, sparse: Bm25Encoder, locale: str, found: Found) -> None:
        self._sparse = sparse
        self.locale = locale
        said = dict(zip(*found.keywords, strict=True))
        self.question = frozenset(said)
        self.chunks = [self.of(c.chunk.embedded_text) for c in found.candidates]
        total = len(self.chunks)
        self._weights = {
            term: weight * math.log(1 + (total - n + 0.5) / (n + 0.5))
            for term, weight in said.items()
            for n in [sum(term in terms for terms in self.chunks)]
        }

    def of(self, text: str) -> frozenset[int]:
        return self._sparse.terms(text, self.locale)

    def weight(self, terms: frozenset[int]) -> float:
        """Returns summed rarity of the question's terms among `terms`."""
        return sum(self._weights[term] for term in self.question & terms)

    def coverage(self, terms: frozenset[int]) -> float:
        """Returns share (0..1) of the question's weight that `terms` cover."""
        whole = sum(self._weights.values())
        return self.weight(terms) / whole if whole else 0.0


def pack(found: Found, terms: Terms, most_chunks: int, most_chars: int) -> tuple[Candidate, ...]:
    """Returns the chunks to answer from, best first, without near-repeats.

    At most `most_chunks` of `most_chars` in all; the best is packed whatever its length.

    A chunk's neighbours and its parent section have no place of their own, but for what it is cut
    from (`rest.py`). Of as many passages, the
    next best candidates hold more: key facts among six passages .88, with the best one's neighbours
    among them .85, with its section's .88 (tune half of the example suite); gold section among
    eight .61, with neighbours .59 (doc2dial, 500 tune queries).
    """
    packed: list[Candidate] = []
    seen: list[frozenset[int]] = []
    chars = 0
    for candidate, words in zip(found.candidates, terms.chunks, strict=True):
        size = len(candidate.chunk.text)
        if packed and chars + size > most_chars:
            continue
        if any(_jaccard(words, other) >= SAME_TEXT for other in seen):
            continue
        packed.append(candidate)
        seen.append(words)
        chars += size
        if len(packed) == most_chunks:
            break
    return tuple(packed)


def _jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    union = len(a | b)
    return len(a & b) / union if union else 0.0
