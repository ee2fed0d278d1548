"""How many may do one thing at once, and how many may wait for it: the rest is told at once."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from twofold.errors import Overloaded

RETRY_AFTER_S = 1.0


class Bulkhead:
    """Lets `places` callers work at once and `queue` more wait, in order of arrival; refuses the
    rest with `full`. Not for several threads."""

    def __init__(self, places: int, queue: int, full: str) -> None:
        self.inside = 0
        self._places = places
        self._queue = queue
        self._full = full
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @asynccontextmanager
    async def place(self, until: float) -> AsyncIterator[None]:
        """Raises Overloaded when the queue is full, or `until` (time.monotonic) has come."""
        await self._enter(until)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, until: float) -> None:
        if self.inside < self._places:
            self.inside += 1
            return
        if len(self._waiting) >= self._queue:
            raise Overloaded(self._full, RETRY_AFTER_S)
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place came while we were giving up
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise Overloaded(self._full, RETRY_AFTER_S) from error
            raise

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the place goes to the next, so `inside` stays
                return
        self.inside -= 1
