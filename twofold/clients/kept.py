"""Vectors of texts that questions find again, remembered."""

from collections.abc import Iterable, Mapping
from threading import Lock

import numpy as np
import numpy.typing as npt

Half = npt.NDArray[np.float16]


class KeptVectors:
    """In 16 bits; of more than `most` texts the oldest are forgotten. Safe to call from many
    threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, Half] = {}
        self._lock = Lock()

    def known(self, texts: Iterable[str]) -> dict[str, Half]:
        """Those of the texts that are remembered."""
        return {text: kept for text in texts if (kept := self._kept.get(text)) is not None}

    def keep(self, found: Mapping[str, Half]) -> None:
        with self._lock:
            self._kept |= found
            while len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]
