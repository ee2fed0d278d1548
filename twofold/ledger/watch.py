"""Knows within seconds that a ledger has ceased to answer: who comes then need not wait to learn
it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from twofold.errors import Unavailable

TROUBLE: Final = (OperationalError, InterfaceError, PoolTimeout)
"""What a database raises that cannot be reached, is locked or has no room."""
PATIENCE_S: Final = 2.0
"""Whoever has used the ledger for longer makes it suspect."""
LOOK_S: Final = 1.0
"""A look that takes longer has found out."""
PAUSE_S: Final = 0.5
"""Between two looks."""
NO_LEDGER: Final = "The ledger does not answer. Ask again in a moment."


class LedgerWatch:
    """Looks whether the ledger can be read, and written, once somebody waited for it too long or
    was let down by it; as long as it cannot, each `check` fails at once.

    It costs nothing while all is well. Slow work alone is no silence: what decides is the look, a
    small piece of work in a thread of its own.
    """

    def __init__(self, read: Callable[[], object], write: Callable[[], object]) -> None:
        self._reading, self._writing = _Look(read), _Look(write)
        self._since: dict[object, float] = {}
        self._let_down = False

    @contextmanager
    def using(self) -> Iterator[None]:
        """Watches one use of the ledger; to be put around each."""
        mark = object()
        self._since[mark] = time.monotonic()
        try:
            yield
        except TROUBLE:
            self._let_down = True
            raise
        finally:
            del self._since[mark]

    def check(self, *, writing: bool) -> None:
        """Raises Unavailable while the ledger is known not to answer. Never waits."""
        if not self.answers(writing=writing):
            raise Unavailable(NO_LEDGER, retry_after=1.0)

    def answers(self, *, writing: bool) -> bool:
        suspect = self._suspect()
        read, written = self._reading.works(suspect), self._writing.works(suspect)
        return read and (written or not writing)

    def close(self) -> None:
        """Stops looking."""
        self._reading.close()
        self._writing.close()

    def _suspect(self) -> bool:
        let_down, self._let_down = self._let_down, False
        before = time.monotonic() - PATIENCE_S
        return let_down or any(since < before for since in list(self._since.values()))


class _Look:
    """One piece of work, tried where there is doubt: in a thread of its own, one try at a time, and
    again until it is done."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._looking = False
        self._begun = 0.0
        self._works = True

    def works(self, suspect: bool) -> bool:
        """Returns whether the ledger works, as far as is known by now; `suspect` makes it look."""
        with self._lock:
            now = time.monotonic()
            if self._looking:
                self._works = self._works and now - self._begun < LOOK_S
            elif suspect and now - self._begun > PAUSE_S:
                self._looking, self._begun = True, now
                threading.Thread(target=self._run, name="ledger-watch", daemon=True).start()
            return self._works

    def close(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        done = False
        while not (done or self._stop.is_set()):
            try:
                self._work()
                done = True
            except Exception:
                with self._lock:
                    self._works = False
                self._stop.wait(PAUSE_S)
            with self._lock:
                self._begun = time.monotonic()
                self._looking, self._works = not done, done
