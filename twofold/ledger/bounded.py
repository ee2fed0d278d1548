"""A connection to PostgreSQL that waits for no server for ever.

A server that is stopped, or whose machine hangs, still has a kernel that takes what is sent: no
time-out of the network ends such a wait, and none that the server itself would have to keep.
"""

from typing import Any, Self

import psycopg
from psycopg.errors import _WaitTimeout


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself after `silent_s` seconds of one wait, with an OperationalError."""

    silent_s: float

    @classmethod
    def open(cls, *given: Any, silent_s: float, lock_s: float, **named: Any) -> Self:
        """Returns `lock_s`: seconds that a statement waits for a lock, by the server's own
        clock."""
        options = f"{named.pop('options', '')} -c lock_timeout={int(lock_s * 1000)}".strip()
        made = cls.connect(*given, options=options, **named)
        made.silent_s = silent_s
        return made

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        # `connect` waits before `open` has set it, for `connect_timeout` at most.
        bound = getattr(self, "silent_s", None)
        try:
            return super().wait(gen, interval, bound if timeout is None else timeout)
        except _WaitTimeout as error:
            self.pgconn.finish()
            raise psycopg.OperationalError("the server does not answer") from error
