"""Vectors of the sources' sentences and words, kept: questions find the same pages again."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooLate
from threading import BoundedSemaphore

import numpy as np
import numpy.typing as npt
import structlog

from twofold.clients.embedder import Embedder
from twofold.clients.kept import KeptVectors
from twofold.errors import TwofoldError

KEPT = 60_000
"""Texts whose vectors are kept: a KB each."""
AT_ONCE = 8
"""Questions whose sentences are embedded at a time; the next one waits."""

_log = structlog.get_logger("twofold.sentences")

Vectors = dict[str, npt.NDArray[np.float32]]


class Sentences:
    """Embeds texts and remembers their vectors. Safe to call from many threads."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self._embedder = embedder
        self._pool = ThreadPoolExecutor(AT_ONCE, "sentences")
        self._room = BoundedSemaphore(AT_ONCE)
        self._kept = KeptVectors(KEPT)

    def vectors(self, texts: Sequence[str], until: float) -> Vectors | None:
        """Returns a vector (d,) for each text; None where they cannot be had by `until`
        (time.monotonic): without an embedder, or where it fails or is not done by then."""
        wanted = dict.fromkeys(texts)
        known = self._kept.known(wanted)
        missing = [text for text in wanted if text not in known]
        if missing:
            known |= self._learnt(missing, until)
        if len(known) < len(wanted):
            # With vectors for only some, sentences would rank by whether they are remembered.
            return None
        return {text: vector.astype(np.float32) for text, vector in known.items()}

    def read(self, texts: Sequence[str]) -> None:
        """Embeds these texts on the caller's own thread, and keeps them. Raises what the
        embedder does."""
        known = self._kept.known(wanted := dict.fromkeys(texts))
        missing = [text for text in wanted if text not in known]
        if missing and self._embedder is not None:
            self._learn(self._embedder, missing)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _learnt(self, texts: Sequence[str], until: float) -> dict[str, npt.NDArray[np.float16]]:
        if self._embedder is None:
            return {}
        if not self._room.acquire(timeout=_left(until)):
            _log.warning("composed by words alone", why="the embedder is busy")
            return {}
        learning = self._pool.submit(self._learn, self._embedder, texts)
        learning.add_done_callback(lambda _: self._room.release())
        try:
            return learning.result(_left(until))
        except (TooLate, TwofoldError) as error:
            _log.warning("composed by words alone", why=type(error).__name__)
            return {}

    def _learn(
        self, embedder: Embedder, texts: Sequence[str]
    ) -> dict[str, npt.NDArray[np.float16]]:
        """Embeds the sentences and keeps them, also where nobody waits any more: the next
        question finds them."""
        found = dict(zip(texts, embedder.embed(texts).astype(np.float16), strict=True))
        self._kept.keep(found)
        return found


def _left(until: float) -> float:
    """Returns the seconds until then, bounded, since locks take no more."""
    return min(max(0.0, until - time.monotonic()), threading.TIMEOUT_MAX)
