"""Answers on their way, and what ends one before it is through: its deletion, or its reader.

In this process at once. What other processes ask for stands in the ledger, where a deletion leaves
its mark anyway: it is looked at every LOOK_S while an answer is on its way.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Final, Literal, TypeVar

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from services.answer.contract import Ask
from twofold.errors import Conflict, NotFound
from twofold.ledger import Ledger
from twofold.ledger.service import Tombstone
from twofold.ledger.tombstones import answer_mark, bury, conversation_mark, customer_mark

LOOK_S: Final = 1.0
GONE: Final = "This conversation was deleted. Start a new one."
UNSAID: Final = "It was stopped before a word of it was said."
Ending = Literal["deleted", "stopped"]
T = TypeVar("T")

_log = structlog.get_logger("twofold.flights")


class Flight:
    """One answer being made: what `going` awaits is cancelled when the answer is to end."""

    def __init__(self, asked_at: float = 0.0) -> None:
        self.asked_at = asked_at
        self.ending: Ending | None = None
        self.marks: dict[str, Ending] = {}
        """Of what it belongs to: what becomes of it when that is found in the ledger."""
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None

    @property
    def deleted(self) -> bool:
        return self.ending == "deleted"

    async def going(self, work: Awaitable[T]) -> T:
        """Returns what the work gives. Raises NotFound where the answer was deleted meanwhile,
        Conflict where it was stopped and had nothing yet to keep."""
        if self.deleted:
            raise NotFound(GONE)
        self._task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if not self.took_it():
                raise
            raise NotFound(GONE) if self.deleted else Conflict(UNSAID) from None
        finally:
            self._task = None

    def took_it(self) -> bool:
        """Returns whether a cancellation that has just arrived is this flight's alone."""
        task = asyncio.current_task()
        return self.ending is not None and task is not None and task.uncancel() == 0

    def end(self, how: Ending) -> None:
        """Cancels the flight. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._end, how)

    def _end(self, how: Ending) -> None:
        if self.deleted or self.ending == how:
            return
        first, self.ending = self.ending is None, how
        if first and self._task is not None:
            self._task.cancel()


class Flights:
    """The answers being made in this process."""

    def __init__(self) -> None:
        self._all: dict[Flight, None] = {}

    @contextmanager
    def of(self, ask: Ask) -> Iterator[Flight]:
        flight = Flight(ask.asked_at)
        if ask.customer is not None:
            flight.marks[customer_mark(ask.workspace, ask.customer)] = "deleted"
        self._all[flight] = None
        try:
            yield flight
        finally:
            del self._all[flight]

    def name(self, flight: Flight, workspace: str, conversation: str, answer: str) -> None:
        flight.marks[conversation_mark(workspace, conversation)] = "deleted"
        flight.marks[answer_mark(workspace, answer)] = "stopped"

    def end(self, marks: Iterable[str]) -> bool:
        """Cancels the flights with one of `marks` and returns whether there was one. Callable
        from any thread."""
        found = False
        for flight in list(self._all):
            for mark in marks:
                if (how := flight.marks.get(mark)) is not None:
                    flight.end(how)
                    found = True
        return found

    async def watch(self, ledger: Ledger, threads: Executor) -> None:
        """Ends flights whose answer another process has deleted or stopped, until it is
        cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._all or not ledger.watch.answers(writing=False):
                continue
            since = min(flight.asked_at for flight in self._all)
            try:
                marks = await loop.run_in_executor(threads, _buried_since(ledger, since))
            except SQLAlchemyError as error:
                _log.warning("deletions elsewhere are not heard of", error=type(error).__name__)
                continue
            for flight in list(self._all):
                for mark, at in marks.items():
                    if mark in flight.marks and at >= flight.asked_at:
                        flight.end(flight.marks[mark])


def _buried_since(ledger: Ledger, since: float) -> Callable[[], dict[str, float]]:
    def look() -> dict[str, float]:
        query = select(Tombstone.mark, Tombstone.at).where(Tombstone.at >= since)
        with ledger.connection() as connection:
            return {row.mark: row.at for row in connection.execute(query)}

    return look


def stop_elsewhere(ledger: Ledger, workspace: str, answer: str) -> None:
    """Tells the process that makes the answer to stop it."""
    with ledger.session() as session:
        bury(session, [answer_mark(workspace, answer)])
