"""What a serving process does beside serving: deliver handoffs, delete what has expired."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from services.answer.handoff_delivery import Courier, open_http
from services.answer.handoff_targets import open_targets
from services.answer.pipeline import Parts
from services.answer.privacy import keep_purging

STOP_S = 12.0
"""A delivery under way ends within its own time-out."""


@contextmanager
def behind_the_scenes(parts: Parts) -> Iterator[None]:
    """Threads that run while the block does. Raises SetupError on bad handoff targets."""
    ledger, settings = parts.stack.ledger, parts.stack.settings
    targets = open_targets(settings)
    stop = threading.Event()
    with ExitStack() as running:
        running.enter_context(_thread(lambda: keep_purging(ledger, settings.retention_days, stop)))
        if targets:
            http = running.enter_context(open_http())
            attempts = settings.handoff_attempts
            courier = Courier(ledger, parts.house, targets, http, attempts)
            running.enter_context(_thread(lambda: courier.run(stop)))
        try:
            yield
        finally:
            stop.set()


@contextmanager
def _thread(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(STOP_S)
