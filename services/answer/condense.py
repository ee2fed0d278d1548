"""Second step: a follow-up becomes a question that stands alone, with the day it asks about."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from services.answer.contract import Turn

MAX_FOLLOW_UP_WORDS = 9
TURNS_KEPT = 2
"""Earlier user turns that stand before a follow-up in its standalone form."""
USER_WEIGHT = 0.3
AGENT_WEIGHT = 0.25
DECAY = 0.7
SEARCHED_TURNS = 4
ALONE = 0.6
"""What a conversation's turns weigh in the search for its next message, which weighs 1: the k-th
turn back DECAY**(k-1) of its speaker's weight, all of them ALONE times that where the message can
be understood by itself. Set on the tune half of doc2dial: R@10 .78 -> .88 against joining turns."""

_DEPENDENT = re.compile(
    r"^(and|but|so|or|also|then|what about|how about|what if|same|ok|okay|yes|no|und|aber|oder|"
    r"auch|ja|nein|was ist mit|wie sieht es)\b"
    r"|\b(it|its|that|this|those|these|they|them|there|one|ones|he|she|then|instead|same|"
    r"das|dies|diese|dieser|dort|dann|sie|ihn|davon|damit|dafür)\b",
    re.IGNORECASE,
)

_MONTH_NAMES = (
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
_MONTHS = {name: i for i, names in enumerate(_MONTH_NAMES, start=1) for name in names.split()}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_DATES = (
    re.compile(r"(?P<y>20\d\d)-(?P<m>\d\d)-(?P<d>\d\d)"),
    re.compile(
        rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th|\.)?\s+(?:of\s+)?(?P<name>{_MONTH})\.?,?\s+(?P<y>20\d\d)",
        re.IGNORECASE,
    ),
    re.compile(
        rf"(?P<name>{_MONTH})\.?\s+(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<y>20\d\d)",
        re.IGNORECASE,
    ),
    re.compile(rf"(?P<name>{_MONTH})\.?,?\s+(?:of\s+)?(?P<y>20\d\d)", re.IGNORECASE),
)
_ABOUT_A_CHANGE = re.compile(
    r"\b(chang\w*|new|releas\w*|announc\w*|introduc\w*|happen\w*|fix\w*|since"
    r"|switch\w* off|remov\w*|added|updat\w*|neu\w*|seit|ge?ändert|ändert)\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"\b(before|until|prior to|vor|bis)\b(?:\s+\w+){0,2}\s*$", re.IGNORECASE)


class Said(NamedTuple):
    """A text of the conversation, and what it weighs in the search."""

    text: str
    weight: float


def condense(message: str, history: Sequence[Turn]) -> str:
    """`message`, led by the user turns it leans on when it cannot be understood without them."""
    earlier = [turn.text for turn in history if turn.role == "user"][-TURNS_KEPT:]
    if not earlier or _stands_alone(message):
        return message
    return "\n".join([*earlier, message])


def weigh(message: str, history: Sequence[Turn]) -> list[Said]:
    """What to search for: the message first, then the turns before it, newest first."""
    scale = ALONE if _stands_alone(message) else 1.0
    said = [Said(message, 1.0)]
    for role, weight in (("user", USER_WEIGHT), ("assistant", AGENT_WEIGHT)):
        texts = [turn.text for turn in reversed(history) if turn.role == role]
        for back, text in enumerate(texts[:SEARCHED_TURNS]):
            said.append(Said(text, scale * weight * DECAY**back))
    return said


def _stands_alone(message: str) -> bool:
    words = message.split()
    return len(words) > MAX_FOLLOW_UP_WORDS and not _DEPENDENT.search(" ".join(words[:6]))


def asks_what_changed(text: str) -> bool:
    """Whether `text` asks what became different, not what holds."""
    return _ABOUT_A_CHANGE.search(text) is not None


def as_of_in(text: str, now: float) -> float | None:
    """The day `text` asks about, as epoch seconds at noon UTC; None unless it names a past date.

    A month alone means its middle; "before" a date means the day before it. A question about the
    date itself ("what changed on 1 June 2026?", "since March 2026") is not one as of it.
    """
    if asks_what_changed(text):
        return None
    for pattern in _DATES:
        match = pattern.search(text)
        if match is None:
            continue
        parts = match.groupdict()
        month = int(parts["m"]) if parts.get("m") else _MONTHS[parts["name"].lower()]
        day = int(parts["d"]) if parts.get("d") else 15
        try:
            named = date(int(parts["y"]), month, day)
        except ValueError:
            continue
        if _BEFORE.search(text[: match.start()]):
            named = (named if parts.get("d") else named.replace(day=1)) - timedelta(days=1)
        moment = datetime(named.year, named.month, named.day, 12, tzinfo=UTC).timestamp()
        return moment if moment < now else None
    return None
