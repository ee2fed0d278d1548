"""Wakes whoever watches a thread when it changes, in this process or another."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.widget.threads import Threads

EVERY_S: Final = 1.0
OVERLAP_S: Final = 10.0
"""Looked at again each time: another process's clock and its slow commits may lie behind ours."""

_log = structlog.get_logger("twofold.widget")


class ThreadWatch:
    """What one reader watches: a thread, or every thread."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    def tell(self, thread_id: str) -> None:
        self._changed.add(thread_id)
        self._news.set()

    async def changes(self, timeout_s: float) -> set[str]:
        """Threads that changed since the last call; waits for one, or for `timeout_s` at most."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._news.wait()
        except TimeoutError:
            return set()
        self._news.clear()
        changed, self._changed = self._changed, set()
        return changed


class ThreadFeed:
    """One look at the ledger a second, for all readers of this process together."""

    def __init__(self, threads: Threads, clock: Callable[[], float] = time.time) -> None:
        self._threads = threads
        self._clock = clock
        self._of: dict[str, set[ThreadWatch]] = {}
        self._all: set[ThreadWatch] = set()
        self._seen: dict[str, float] = {}

    def touch(self, thread_id: str) -> None:
        """A thread was changed here: its readers need not wait for the next look."""
        for watch in (*self._of.get(thread_id, ()), *self._all):
            watch.tell(thread_id)

    def wake(self, visitor_id: str) -> None:
        """Wakes the readers of a visitor who had no thread and has now said something."""
        for watch in self._of.get(visitor_id, ()):
            watch.tell(visitor_id)

    @contextmanager
    def watching(self, thread_id: str | None) -> Iterator[ThreadWatch]:
        """Watch one thread, a visitor who has none yet, or all threads (None)."""
        watch = ThreadWatch()
        group = self._all if thread_id is None else self._of.setdefault(thread_id, set())
        group.add(watch)
        try:
            yield watch
        finally:
            group.discard(watch)
            if thread_id is not None and not group and self._of.get(thread_id) is group:
                del self._of[thread_id]

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """Looks while the block runs."""
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            if not self._of and not self._all:
                continue
            since = self._clock() - OVERLAP_S
            try:
                changed = await asyncio.to_thread(self._threads.changed_since, since)
            except SQLAlchemyError as error:
                _log.warning("the widget's threads cannot be read", error=type(error).__name__)
                continue
            self._note(changed)

    def _note(self, changed: Sequence[tuple[str, float]]) -> None:
        for thread_id, moment in changed:
            if self._seen.get(thread_id) != moment:
                self.touch(thread_id)
        self._seen = dict(changed)
