"""Wakes whoever watches a thread when it changes, in this process or another; and the desk when
somebody is handed over who came by the API."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.widget.answers import AnswerService
from services.widget.threads import Threads
from twofold.errors import TwofoldError

EVERY_S: Final = 1.0
OVERLAP_S: Final = 10.0
"""Looked at again each time: another process's clock and its slow commits may lie behind ours."""
HANDOFFS_EVERY_S: Final = 2.0
SETTLED_S: Final = 2.0
"""A hand-off of the widget's own has its thread by then; one that has none came by the API."""
MOST_HANDOFFS: Final = 200

_log = structlog.get_logger("twofold.widget")


class ThreadWatch:
    """What one reader watches: a thread, or every thread and what came by the API."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._news = asyncio.Event()

    def tell(self, id: str) -> None:
        self._changed.add(id)
        self._news.set()

    async def changes(self, timeout_s: float) -> set[str]:
        """Threads that changed since the last call, and new hand-offs that have none; waits for
        one, or for `timeout_s` at most."""
        try:
            async with asyncio.timeout(max(0.0, timeout_s)):
                await self._news.wait()
        except TimeoutError:
            return set()
        self._news.clear()
        changed, self._changed = self._changed, set()
        return changed


class ThreadFeed:
    """One look at the ledger a second, for all readers of this process together; while there is a
    desk among them, every other second one at the answer service's hand-offs."""

    def __init__(
        self, threads: Threads, service: AnswerService, clock: Callable[[], float] = time.time
    ) -> None:
        self._threads = threads
        self._service = service
        self._clock = clock
        self._of: dict[str, set[ThreadWatch]] = {}
        self._all: set[ThreadWatch] = set()
        self._seen: dict[str, float] = {}

    def touch(self, id: str) -> None:
        """Wakes the readers of a thread that was changed here, or of a hand-off without one,
        before the next look."""
        for watch in (*self._of.get(id, ()), *self._all):
            watch.tell(id)

    def wake(self, visitor_id: str) -> None:
        """Wakes the readers of a visitor who had no thread and has now said something."""
        for watch in self._of.get(visitor_id, ()):
            watch.tell(visitor_id)

    @contextmanager
    def watching(self, thread_id: str | None) -> Iterator[ThreadWatch]:
        """Watches one thread, a visitor who has none yet, or all threads (None)."""
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
        """Looks while the block runs: at the threads, and beside that at the hand-offs, so that an
        answer service that hangs keeps no visitor waiting."""
        tasks = [asyncio.create_task(look()) for look in (self._look, self._look_at_handoffs)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

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

    async def _look_at_handoffs(self) -> None:
        looked, told = self._clock(), set[str]()
        while True:
            await asyncio.sleep(HANDOFFS_EVERY_S)
            now = self._clock()
            if self._all:
                try:
                    others = await self._by_api(looked - OVERLAP_S, now - SETTLED_S)
                except (SQLAlchemyError, TwofoldError) as error:
                    _log.warning("the hand-offs cannot be read", error=type(error).__name__)
                    continue
                for id in others - told:
                    self.touch(id)
                told = others
            looked = now

    async def _by_api(self, since: float, until: float) -> set[str]:
        """Returns hand-offs that were made in between and belong to no thread."""
        found = await self._service.handoffs(MOST_HANDOFFS, since)
        ids = [each["conversation_id"] for each in found]
        ours = await asyncio.to_thread(self._threads.conversations, ids)
        return {
            each["id"]
            for each in found
            if each["conversation_id"] not in ours and each["created_at"] <= until
        }

    def _note(self, changed: Sequence[tuple[str, float]]) -> None:
        for thread_id, moment in changed:
            if self._seen.get(thread_id) != moment:
                self.touch(thread_id)
        self._seen = dict(changed)
