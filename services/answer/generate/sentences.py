"""How like a question the sentences of the sources are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import structlog

from twofold.clients.embedder import Embedder
from twofold.errors import TwofoldError

KEPT = 4096
"""Chunks whose sentences' vectors are kept: some 3 KB each."""
LATE_S = 0.25
"""Who composes is the last step before a person, and must be quick: after so long words decide."""

_log = structlog.get_logger("twofold.sentences")


class Sentences:
    """Cosines of sentences with a question. Safe to call from many threads.

    Questions find the same chunks again, so vectors are kept. Without an embedder, or where it is
    late or down, every cosine is 0.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._pool = ThreadPoolExecutor(4, "sentences")
        self._kept: dict[tuple[str, ...], npt.NDArray[np.float16]] = {}

    def cosines(
        self, chunks: Sequence[tuple[str, ...]], vector: npt.NDArray[np.float32]
    ) -> list[npt.NDArray[np.float32]]:
        """For each chunk's sentences their cosines with `vector` (d,)."""
        known = {chunk: self._kept[chunk] for chunk in chunks if chunk in self._kept}
        new = [chunk for chunk in dict.fromkeys(chunks) if chunk and chunk not in known]
        if new:
            known |= self._embed(new)
        if any(chunk and chunk not in known for chunk in chunks):
            # Some cosines beside none would rank the sentences by who is remembered.
            return [np.zeros(len(chunk), np.float32) for chunk in chunks]
        nothing = np.zeros((0, len(vector)), np.float16)
        return [known.get(chunk, nothing).astype(np.float32) @ vector for chunk in chunks]

    def _embed(
        self, chunks: Sequence[tuple[str, ...]]
    ) -> dict[tuple[str, ...], npt.NDArray[np.float16]]:
        if self._embedder is None:
            return {}
        texts = [text for chunk in chunks for text in chunk]
        try:
            vectors = self._pool.submit(self._embedder.embed, texts).result(LATE_S)
        except (TooLate, TwofoldError) as error:
            _log.warning("composed by words alone", why=type(error).__name__)
            return {}
        ends = list(accumulate(map(len, chunks)))
        found = dict(zip(chunks, np.split(vectors.astype(np.float16), ends[:-1]), strict=True))
        while len(self._kept) + len(found) > KEPT and self._kept:
            self._kept.pop(next(iter(self._kept)), None)
        self._kept.update(found)
        return found
