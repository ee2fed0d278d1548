"""Time between two requests to one host."""

import threading
import time

from ingestion.sources.guard import Clock


class Pace:
    """`between` holds hosts that want more than the usual distance."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.between: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, host: str, clock: Clock) -> None:
        with self._lock:
            now = time.monotonic()
            at = max(now, self._next.get(host, now))
            self._next[host] = at + self.between.get(host, self._seconds)
        if at > now:
            time.sleep(at - now)
            # Our own pause does not count as the server's delay.
            clock.deadline += at - now
