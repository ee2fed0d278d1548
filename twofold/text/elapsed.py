"""What a text said would come by a day that has passed: it was written before, and says how things
were going to be. In English and German.

"Until 30 June v1 keeps working" tells nothing of July, "the next release is planned for May"
nothing of June. A day from which on something is so ("since 1 March every request needs a key") is
no such day: it may be so still.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Final, NamedTuple

from twofold.text import dates
from twofold.text.blocks import Span, blocks, parts

AHEAD: Final = timedelta(days=1)
"""So long before a day its writer did not know it yet: dates of documents are days."""
REACH: Final = 40
"""Characters before a day that are read."""

_BEGINS = re.compile(
    r"\b(?:from(?: before)?|since|as (?:of|from)|start(?:ing|s)(?: on| from)?"
    r"|effective(?: from)?|after|ab|seit|nach|von)(?:\s(?:the|dem|end of|the end of))?\s*\Z",
    re.IGNORECASE,
)
"""Stands before a day from which on something is so, or which only tells times apart."""
_BEFORE = re.compile(r"\b(?:before|prior to|vor)(?:\s(?:the|dem))?\s*\Z", re.IGNORECASE)
"""Stands before a day that tells times apart, as far as words alone say."""
_TO_COME = re.compile(
    r"\b(?:will|shall|won't|going to|(?:planned|scheduled|expected|due) (?:for|to|in|on)|upcoming"
    r"|next|join|wird|werden|geplant|nächste[nrsm]?)\b",
    re.IGNORECASE,
)
_UNDER_WAY = re.compile(
    r"\bwe(?:'re| are) (?:\w+ly )?\w+ing\b|\b(?:that|these) da(?:te|y)s?\b", re.IGNORECASE
)
_PERIOD = re.compile(
    r"\b(?:Q[1-4]|(?:early|mid|late)(?: in)?|in|during|end of|Ende)[ -]((?:19|20)\d\d)\b"
)


class Foretold(NamedTuple):
    """A sentence of a text, and the last day that it spoke of."""

    span: Span
    day: date


class _Day(NamedTuple):
    """A day or the days of a month or year, as a text names them, behind `before`."""

    first: date
    last: date
    before: str


def elapsed(text: str, written: date | None, today: date, *, news: bool = False) -> list[Foretold]:
    """Returns the sentences of a section that speak of days before `today` as still to come.

    `written` is the day on which the page was written, where that is known: what it says of a later
    day was to come. Else a sentence's words tell. A sentence without a day, about what is to come
    as well, speaks of the last one that was named; in a section of `news` every one does.
    """
    found: list[Foretold] = []
    undated: list[Span] = []
    passed = today
    for block in blocks(text):
        if block.kind not in ("paragraph", "list"):
            continue
        for span in parts(text, block):
            sentence = text[span.start : span.end]
            named = [*_named(sentence), *_periods(sentence)]
            if named:
                day = _foretold(sentence, named, written, today)
                if day is not None:
                    found.append(Foretold(span, day))
                    passed = day
            elif passed < today and _TO_COME.search(sentence):
                found.append(Foretold(span, passed))
            elif news or _UNDER_WAY.search(sentence):
                undated.append(span)
    return found + [Foretold(span, passed) for span in undated if found]


def _foretold(sentence: str, named: list[_Day], written: date | None, today: date) -> date | None:
    """Returns the last day of which the sentence speaks as to come; None where there is none, or
    one that is to come yet."""
    if any(day.last >= today for day in named):
        return None
    to_come = _TO_COME.search(sentence) is not None
    days = []
    for day in named:
        begins = _BEGINS.search(day.before) is not None
        foreseen = written is not None and day.first > written + AHEAD
        announced = to_come and not begins and not _BEFORE.search(day.before)
        if announced or (foreseen and (to_come or not begins)):
            days.append(day.last)
    return max(days, default=None)


def _named(text: str) -> Iterator[_Day]:
    """Yields the days and months of a text whose year is known: their own, or the next one's."""
    found = list(dates.read(text))
    for at, each in enumerate(found):
        year = next((other.year for other in found[at:] if other.year), None)
        if year is None:
            continue
        try:
            first = date(year, each.month, each.day or 1)
        except ValueError:
            continue
        last = first if each.day else date(year + each.month // 12, each.month % 12 + 1, 1)
        yield _Day(first, last if each.day else last - timedelta(days=1), _before(text, each.start))


def _periods(text: str) -> Iterator[_Day]:
    """Yields the years, or parts of them, that a text names without a month."""
    for match in _PERIOD.finditer(text):
        year = int(match[1])
        yield _Day(date(year, 1, 1), date(year, 12, 31), _before(text, match.start()))


def _before(text: str, end: int) -> str:
    return text[max(0, end - REACH) : end]
