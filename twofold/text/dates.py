"""The days and months that a text names, in English or German, however they are written.

`1 June 2026`, `June 1st, 2026`, `1. Juni 2026` and `2026-06-01` are one day; `June 2026` and `in
June` are months. A field that holds nothing but a date is read by who reads the field.
"""

import datetime
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_NAMES = (
    "january jan januar",
    "february feb februar",
    "march mar märz",
    "april apr",
    "may mai",
    "june jun juni",
    "july jul juli",
    "august aug",
    "september sept sep",
    "october oct oktober okt",
    "november nov",
    "december dec dezember dez",
)
_IN_GERMAN: Final = (
    *("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli"),
    *("August", "September", "Oktober", "November", "Dezember"),
)
_MONTHS: Final = {name: i for i, names in enumerate(_NAMES, start=1) for name in names.split()}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_YEAR = r"(?:19|20)\d\d"
_DATE = re.compile(
    rf"\b(?P<y1>{_YEAR})-(?P<m1>\d\d)-(?P<d1>\d\d)(?:\b|(?=T\d))"
    rf"|(?<![\w.,:-])(?P<d2>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<m2>{_MONTH})\b"
    rf"(?:\.?,?\s+(?P<y2>{_YEAR})\b)?"
    rf"|\b(?P<m3>{_MONTH})\b(?:\.?\s+(?P<d3>\d{{1,2}})(?:st|nd|rd|th)?(?![\w:]|[.,]\d))?"
    rf"(?:\.?,?\s+(?:of\s+)?(?P<y3>{_YEAR})\b)?",
    re.IGNORECASE,
)
_ALSO_WORDS = frozenset({"may", "march", "mar"})
_WITHIN = re.compile(r"[^\W\d_],? \Z")
"""A sentence goes on here: a word with a capital is a name."""
_SHORT = 3
_MOST_DAYS = 31


class Date(NamedTuple):
    """`text[start:end]`: a day, or a month where `day` is None; `year` is None where none is
    named. A day that no calendar has (30 February) is one all the same."""

    start: int
    end: int
    year: int | None
    month: int
    day: int | None

    def __str__(self) -> str:
        """Returns `2026-06-01`, `06-01`, `2026-06` or `06`: equal for equal dates."""
        year = [] if self.year is None else [f"{self.year}"]
        day = [] if self.day is None else [f"{self.day:02}"]
        return "-".join([*year, f"{self.month:02}", *day])


def read(text: str) -> Iterator[Date]:
    """Yields the dates in `text`, in order. Takes time linear in its length."""
    for match in _DATE.finditer(text):
        found = _date(match)
        if 1 <= found.month <= len(_NAMES) and (found.day is None or 1 <= found.day <= _MOST_DAYS):
            name = match["m2"] or match["m3"]
            if found.year is not None or _is_month(text, match.start(), name, found.day):
                yield found


def cut(text: str, dates: Iterable[Date]) -> str:
    """Returns `text` with a blank in place of each of its `dates`, which are in order."""
    pieces, at = [], 0
    for date in dates:
        pieces.append(text[at : date.start])
        at = date.end
    return " ".join([*pieces, text[at:]])


def spelt(day: datetime.date, language: str) -> str:
    """Returns a day as it is written: `1 June 2026`, `1. Juni 2026`."""
    if language == "de":
        return f"{day.day}. {_IN_GERMAN[day.month - 1]} {day.year}"
    return f"{day.day} {_NAMES[day.month - 1].split()[0].capitalize()} {day.year}"


def _date(match: re.Match[str]) -> Date:
    year = match["y1"] or match["y2"] or match["y3"]
    month = match["m1"] or match["m2"] or match["m3"]
    day = match["d1"] or match["d2"] or match["d3"]
    return Date(
        match.start(),
        match.end(),
        int(year) if year else None,
        int(month) if month.isdecimal() else _MONTHS[month.lower()],
        int(day) if day else None,
    )


def _is_month(text: str, start: int, name: str, day: int | None) -> bool:
    """Returns whether a name without a year is a month's: "you may 2", "March on" are none."""
    if day is not None:
        return name[0].isupper() or name not in _ALSO_WORDS
    if not name[0].isupper() or (len(name) <= _SHORT and name not in ("May", "Mai")):
        return False
    within = _WITHIN.search(text[max(0, start - 3) : start]) is not None
    return within or name.lower() not in _ALSO_WORDS
