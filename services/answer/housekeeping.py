"""What a serving process does beside serving: deliver handoffs, delete what has expired, read what
the sources say before anybody asks."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from services.answer.access.privacy import keep_purging
from services.answer.generate.sentences import KEPT
from services.answer.generate.weigh import words_meant
from services.answer.handoffs.delivery import Courier, open_http
from services.answer.handoffs.targets import open_targets
from services.answer.pipeline import Parts
from services.answer.search.match import is_read
from services.answer.search.units import headed, pieces_of
from twofold.index.contract import Chunk

RESTS = 3
"""Of reading ahead, in units of the time that it took."""
STOP_S = 12.0
"""A delivery under way ends within its own time-out."""

_log = structlog.get_logger("twofold.housekeeping")


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
        if settings.read_ahead:
            running.enter_context(_thread(lambda: read_ahead(parts, stop)))
        try:
            yield
        finally:
            stop.set()


def read_ahead(parts: Parts, stop: threading.Event) -> None:
    """Embeds every sentence of the index once, as far as they are kept, pausing for most of the
    time: whoever asks meanwhile gets the processor."""
    index, read = parts.stack.index, 0
    try:
        for id in index.ids(parts.stack.settings.workspace):
            if stop.is_set() or read > KEPT:
                return
            started = time.monotonic()
            for chunk in index.retrieve([id]):
                read += _read(chunk, parts)
            stop.wait(RESTS * (time.monotonic() - started))
    except Exception as error:
        _log.warning("not everything was read ahead", error=type(error).__name__)


def _read(chunk: Chunk, parts: Parts) -> int:
    """Learns what the chunk says; returns of how many texts."""
    words, matcher = words_meant(chunk), parts.stack.matcher
    pieces = [headed(chunk, piece) for piece in pieces_of(chunk)]
    if matcher is not None and is_read(chunk.locale):
        matcher.vectors(pieces)
        parts.ladder.sentences.read(words)
    else:
        parts.ladder.sentences.read([*pieces, *words])
    return len(words) + len(pieces)


@contextmanager
def _thread(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join(STOP_S)
