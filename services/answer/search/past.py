"""What was to come when a page was written, and is past: no answer for who asks how things are."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, tzinfo
from functools import lru_cache

from services.answer.search.condense import asks_what_changed
from services.answer.search.units import READ, CutChunk, pieces_of
from twofold.index.contract import Chunk, Scope
from twofold.text.elapsed import elapsed

MOST_OF = 0.5
"""A piece was to come where so much of it, by characters, is sentences that were."""

_AHEAD = re.compile(
    r"\b(?:next (?!to\b|time\b|day\b)|upcoming|coming (?:up|soon)|forthcoming|planned|any plans"
    r"|plan(?:ning)? (?:to|on)|scheduled|soon|nächste[nrsm]?|geplant|demnächst|bald)",
    re.IGNORECASE,
)


def today(scope: Scope) -> date:
    """Returns the day that is asked about: today, where none is named."""
    return datetime.fromtimestamp(scope.as_of, UTC).date()


def looks_ahead(text: str) -> bool:
    """Returns whether the text asks for what is to come, of which what was to come says nothing."""
    return _AHEAD.search(text) is not None


def asks_how_it_is(text: str) -> bool:
    """Returns whether the text asks neither what changed nor what is to come."""
    return not (looks_ahead(text) or asks_what_changed(text))


def gone(page: CutChunk, day: date) -> Mapping[int, date]:
    """Returns, by their place, the pieces of a passage about what was to come and is past on that
    day, each with the last day it speaks of."""
    return _gone(page.candidate.chunk, day)


def written(chunk: Chunk, zone: tzinfo = UTC) -> date | None:
    """Returns the day of which a passage is, as far as that is known."""
    return datetime.fromtimestamp(chunk.updated_at, zone).date() if chunk.updated_at > 0 else None


@lru_cache(READ)
def _gone(chunk: Chunk, day: date) -> Mapping[int, date]:
    news = chunk.kind == "release_note"
    found = elapsed(chunk.text, written(chunk), day, news=news)
    if not found:
        return {}
    past = {}
    for piece in pieces_of(chunk):
        start, end = piece.span
        within = [each for each in found if each.span.start < end and start < each.span.end]
        covered = sum(min(end, each.span.end) - max(start, each.span.start) for each in within)
        if covered > MOST_OF * (end - start):
            past[piece.place] = max(each.day for each in within)
    return past
