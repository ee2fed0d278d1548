"""Vectors of texts that questions find again, remembered."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from threading import Lock

import numpy as np
import numpy.typing as npt

Half = npt.NDArray[np.float16]


class KeptVectors:
    """In 16 bits, each by its text's digest, for texts may be long; of more than `most` the oldest
    are forgotten. Safe to call from many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[bytes, Half] = {}
        self._lock = Lock()

    def known(self, texts: Iterable[str]) -> dict[str, Half]:
        """Returns the vectors of those texts that are remembered."""
        found = ((text, self._kept.get(_digest(text))) for text in texts)
        return {text: kept for text, kept in found if kept is not None}

    def keep(self, found: Mapping[str, Half]) -> None:
        named = {_digest(text): kept for text, kept in found.items()}
        with self._lock:
            self._kept |= named
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
