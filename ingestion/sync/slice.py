"""A stretch of a sync, so that a source of many documents takes turns with the others."""

import math
import time
from collections.abc import Iterator, Sequence
from threading import Event

from ingestion.sources import Item


class SyncSlice:
    """Documents behind `after`, for so many seconds or until `stop`; at least one, so that every
    turn gets on. By itself it is the whole sync.

    `unfinished` says, afterwards, that there are more; `last` is where the next turn begins.
    """

    def __init__(
        self, after: str | None = None, seconds: float = math.inf, stop: Event | None = None
    ) -> None:
        self.last = after
        self.unfinished = False
        self._seconds = seconds
        self._stop = stop or Event()

    def of(self, items: Sequence[Item]) -> Iterator[Item]:
        # Counts from here: a slow discovery must not use up the slice.
        ends = time.monotonic() + self._seconds
        for n, item in enumerate(self._rest(items)):
            if n and (time.monotonic() >= ends or self._stop.is_set()):
                self.unfinished = True
                return
            self.last = item.external_id
            yield item

    def _rest(self, items: Sequence[Item]) -> Sequence[Item]:
        if self.last is None:
            return items
        for at, item in enumerate(items):
            if item.external_id == self.last:
                return items[at + 1 :]
        # That document is gone meanwhile; what was done before it costs only a comparison.
        return items
