"""What a message leans on, decided once and from evidence; and the day it asks about."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from services.answer.contract import Turn
from services.answer.search.asks import is_fragment, sentence_that_asks
from twofold.text import dates

TURNS_KEPT = 2
"""Earlier user turns that stand before a follow-up in its standalone form."""
USER_WEIGHT = 0.3
AGENT_WEIGHT = 0.25
DECAY = 0.7
SEARCHED_TURNS = 4
"""What a conversation's turns weigh in the search for its next message, which weighs 1: the k-th
turn back DECAY**(k-1) of its speaker's weight. Set on the tune half of doc2dial: R@10 .78 -> .88
against joining turns."""
SAYS_NOTHING = ("ESCALATE", "DECLINE")
ALONE = 0.6
"""Times their weight the turns count in the search for a message that does not lean on them: of
what fits as well, what belongs to the conversation comes first. Section found among the first ten
for 400 turns of doc2dial (tune half): .82 without them, .87 by .4, .895 so; with all weight .8975.
"""
BETTER = 0.1
"""A message that says nothing of earlier turns leans on them where what is found for both is so
much more like (cosine of the passage, and how likely the piece answers) than what is found for the
message alone. On four help centers that the reader never saw the best piece is right for 135 of 201
questions of a running conversation, 112 of them new ones; without its word for 131."""
NO_WORSE = -0.1
"""One that refers to them does so even where that is no gain."""
NEAR = 7
"""Words from where it asks within which a pronoun refers to what was said before; later ones mostly
refer to the message's own nouns."""
MIDDLE = 15
"""The day of a month that is named alone."""

_LEADS = re.compile(
    r"\A\W*+(?:and|but|so|or|also|then|what about|how about|what if|same|und|aber|oder|auch|dann"
    r"|was ist mit|wie sieht es)\b",
    re.IGNORECASE,
)
_REFERS = re.compile(
    r"\b(?:it|its|that|this|those|these|they|them|their|he|she|his|her|him|one|ones|instead|es|ihn"
    r"|ihm|dies\w*|davon|damit|dafür|darin|dort)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\b(?:(?:over|in) there|the (?:others?|rest|lot|same)|(?:too|as well|auch)(?=\W*\Z))\b",
    re.IGNORECASE,
)
_APART = re.compile(
    r"\b(?:(?:one more|another|a different|a new|next|an unrelated|a separate)"
    r" (?:thing|question|topic|issue|subject|matter)|other (?:question|topic|thing)s?"
    r"|separately|unrelated|something (?:else|different)|(?:andere|neue|noch eine|weitere) frage"
    r"|(?:anderes|neues) thema|(?:et)?was anderes)\b",
    re.IGNORECASE,
)
"""Words of who turns to something else."""
_FIRST = re.compile(r"\A\W*+(?:the )?(?:first|1st|1|erste[rsn]?)\b(?: one)?\W*+", re.IGNORECASE)
_SECOND = re.compile(r"\A\W*+(?:the )?(?:second|2nd|2|zweite[rsn]?)\b(?: one)?\W*+", re.IGNORECASE)
_THIRD = re.compile(
    r"\A\W*+(?:the )?(?:third|3rd|3|last|dritte[rsn]?)\b(?: one)?\W*+", re.IGNORECASE
)
_WORD = re.compile(r"\w+")

_ABOUT_A_CHANGE = re.compile(
    r"\b(chang\w*|new|releas\w*|announc\w*|introduc\w*|happen\w*|fix\w*|since"
    r"|switch\w* off|remov\w*|added|updat\w*|neu\w*|seit|ge?ändert|ändert)\b",
    re.IGNORECASE,
)
_BEFORE = re.compile(r"\b(before|until|prior to|vor|bis)\b(?:\s+\w+){0,2}\s*$", re.IGNORECASE)


class WeightedTurn(NamedTuple):
    """A text of the conversation, and what it weighs in the search."""

    text: str
    weight: float


def condense(message: str, history: Sequence[Turn]) -> str:
    """Returns `message`, led by what was asked before it: of more than is kept the last, and the
    subject, where that is known to come first."""
    earlier = meant_before(history)
    subject = earlier[:1] if _is_known(history) else []
    kept = earlier[-TURNS_KEPT:]
    return "\n".join([*(subject if len(earlier) > TURNS_KEPT else []), *kept, message])


def meant_before(history: Sequence[Turn]) -> list[str]:
    """Returns what the customer asked last, below what that leaned on; of turns of which nobody
    knows that, all."""
    said = [turn for turn in history if turn.role == "user"]
    if _is_known(said):
        return said[-1].standalone.splitlines()
    return [turn.text for turn in said]


def _is_known(history: Sequence[Turn]) -> bool:
    last = next((turn for turn in reversed(history) if turn.role == "user"), None)
    return last is not None and bool(last.standalone)


def leans(message: str, gain: float) -> bool:
    """Returns whether the message depends on earlier turns. `gain`: how much more like it is what
    is found with them than what is found without."""
    if _APART.search(message):
        return gain > BETTER
    if is_fragment(message):
        return True
    return gain > (NO_WORSE if _LEADS.match(message) or refers(message) else BETTER)


def refers(message: str) -> bool:
    """Returns whether a word of it stands for something that was named before."""
    first = " ".join(sentence_that_asks(message).split()[:NEAR])
    return _REFERS.search(first) is not None or _GOES_ON.search(message) is not None


def chosen(message: str, history: Sequence[Turn]) -> str | None:
    """Returns the title that the message picks of those that our last message offered."""
    last = history[-1] if history else None
    if last is None or not last.choices:
        return None
    for place, ordinal in enumerate((_FIRST, _SECOND, _THIRD)):
        if ordinal.fullmatch(message) and place < len(last.choices):
            return last.choices[place]
    words = set(_WORD.findall(message.lower()))
    shared = {title: len(words & set(_WORD.findall(title.lower()))) for title in last.choices}
    best = max(shared, key=lambda title: shared[title])
    return best if shared[best] >= max(1, len(words) / 2) else None


def weigh(message: str, history: Sequence[Turn], scale: float = 1.0) -> list[WeightedTurn]:
    """Returns what to search for: the message, then the turns before it, newest first, each
    `scale` times its weight. Of ours those that answered or asked: a hand-over's words are about
    nothing."""
    said = [WeightedTurn(message, 1.0)]
    told = [turn for turn in reversed(history) if turn.documents or turn.action not in SAYS_NOTHING]
    for role, weight in (("user", USER_WEIGHT), ("assistant", AGENT_WEIGHT)):
        texts = [turn.text for turn in told if turn.role == role]
        for back, text in enumerate(texts[:SEARCHED_TURNS]):
            said.append(WeightedTurn(text, scale * weight * DECAY**back))
    return said


def asks_what_changed(text: str) -> bool:
    """Returns whether `text` asks what became different, not what holds."""
    return _ABOUT_A_CHANGE.search(text) is not None


def as_of_in(text: str, now: float) -> float | None:
    """Returns the day `text` asks about, as epoch seconds at noon UTC; None unless it names a past
    date.

    A month alone means its middle; "before" a date means the day before it. A question about the
    date itself ("what changed on 1 June 2026?", "since March 2026") is not one as of it.
    """
    if asks_what_changed(text):
        return None
    for named in dates.read(text):
        if named.year is None:
            continue
        try:
            day = date(named.year, named.month, named.day or MIDDLE)
        except ValueError:
            continue
        if _BEFORE.search(text[: named.start]):
            day = (day if named.day else day.replace(day=1)) - timedelta(days=1)
        moment = datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()
        return moment if moment < now else None
    return None
