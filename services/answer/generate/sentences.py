"""How like a question the sentences of the sources are."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from itertools import accumulate
from threading import BoundedSemaphore, Lock

import numpy as np
import numpy.typing as npt
import structlog

from twofold.clients.embedder import Embedder
from twofold.errors import TwofoldError

KEPT = 4096
"""Chunks whose sentences' vectors are kept: some 5 KB each."""
LATE_S = 0.25
"""Who composes is the last step before a person, and must be quick: after so long words decide."""
AT_ONCE = 8
"""Questions whose sentences are being embedded; for the next one words decide at once."""

_log = structlog.get_logger("twofold.sentences")

Chunk = tuple[str, ...]
"""Its sentences, each with the headings that it stands under."""
Vectors = npt.NDArray[np.float16]


class Sentences:
    """Cosines of sentences with a question. Safe to call from many threads.

    Questions find the same chunks again, so vectors are kept. Without an embedder, or where it is
    late, busy or down, every cosine is 0.
    """

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._pool = ThreadPoolExecutor(AT_ONCE, "sentences")
        self._room = BoundedSemaphore(AT_ONCE)
        self._kept: dict[Chunk, Vectors] = {}
        self._lock = Lock()

    def cosines(
        self, chunks: Sequence[Chunk], vector: npt.NDArray[np.float32]
    ) -> list[npt.NDArray[np.float32]]:
        """For each chunk's sentences their cosines with `vector` (d,)."""
        wanted = [chunk for chunk in dict.fromkeys(chunks) if chunk]
        known = {chunk: kept for chunk in wanted if (kept := self._kept.get(chunk)) is not None}
        if self._embedder is not None and len(known) < len(wanted):
            known |= self._learnt(self._embedder, [each for each in wanted if each not in known])
        if len(known) < len(wanted):
            # Some cosines beside none would rank the sentences by who is remembered.
            return [np.zeros(len(chunk), np.float32) for chunk in chunks]
        nothing = np.zeros((0, len(vector)), np.float16)
        return [known.get(chunk, nothing).astype(np.float32) @ vector for chunk in chunks]

    def _learnt(self, embedder: Embedder, chunks: Sequence[Chunk]) -> dict[Chunk, Vectors]:
        if not self._room.acquire(blocking=False):
            return {}
        learning = self._pool.submit(self._learn, embedder, chunks)
        learning.add_done_callback(lambda _: self._room.release())
        try:
            return learning.result(LATE_S)
        except (TooLate, TwofoldError) as error:
            _log.warning("composed by words alone", why=type(error).__name__)
            return {}

    def _learn(self, embedder: Embedder, chunks: Sequence[Chunk]) -> dict[Chunk, Vectors]:
        """Kept also where nobody waits any more: the next question finds them."""
        vectors = embedder.embed([text for chunk in chunks for text in chunk]).astype(np.float16)
        ends = list(accumulate(map(len, chunks)))
        found = dict(zip(chunks, np.split(vectors, ends[:-1]), strict=True))
        with self._lock:
            self._kept |= found
            while len(self._kept) > KEPT:
                del self._kept[next(iter(self._kept))]
        return found
