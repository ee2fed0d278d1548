"""Match: how near each piece of what was found comes to answering the question; what comes nearest
is first."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from services.answer.contract import Candidate, Found, Question
from services.answer.search.asks import questions_in
from services.answer.search.units import Page, cut
from twofold.clients.matcher import Matcher, asked_in_turn
from twofold.text.languages import ENGLISH, base

RANKED: Final = 12
"""Candidates whose pieces are read. What was read before is remembered; what was not takes a
processor about 50 ms each."""
WEIGHT: Final = 4.0
"""Of the nearest piece's cosine, against the candidate's score (1 for the best one's)."""
LEANING_WEIGHT: Final = 2.0
LATER_WEIGHT: Final = 0.5
"""The same for a message that leans on earlier turns, and for one that seems not to: it may all the
same, and was searched for with a share of them. With WEIGHT it lost .026 of nDCG on doc2dial."""

Matched = Mapping[str, Mapping[str, float]]
"""Question -> piece below its headings -> cosine, as the matcher reads them."""


def match(question: Question, found: Found, by: Matcher) -> Matched:
    """The cosines of all pieces of the first candidates; nothing in other languages than the
    matcher's."""
    if not is_read(question.locale):
        return {}
    pages = [
        page for page in cut(found.candidates[:RANKED]) if is_read(page.candidate.chunk.locale)
    ]
    pieces = list(dict.fromkeys(text for page in pages for text in page.headed))
    asked = {text: _in_turn(question, text) for text in questions_in(question)}
    vectors = by.vectors([*asked.values(), *pieces])
    return {
        text: {piece: float(vectors[piece] @ vectors[read]) for piece in pieces}
        for text, read in asked.items()
    }


def nearest_first(question: Question, found: Found, matched: Matched) -> Found:
    """The candidates by score and nearest piece; where several things are asked, the best for each
    in turn."""
    if not matched or not found.candidates:
        return found
    first, rest = found.candidates[:RANKED], found.candidates[RANKED:]
    most = max(abs(each.score) for each in first) or 1.0
    later = LEANING_WEIGHT if question.leans else LATER_WEIGHT
    weight = later if question.history else WEIGHT
    pages = cut(first)
    lists = [
        sorted(
            (
                replace(page.candidate, score=page.candidate.score / most + weight * near)
                for page in pages
                for near in [_nearest(page, pieces)]
            ),
            key=lambda candidate: -candidate.score,
        )
        for pieces in matched.values()
    ]
    turns: dict[str, Candidate] = {}
    for row in zip_longest(*lists):
        for each in row:
            turns.setdefault(each.chunk.id, each)
    return replace(found, candidates=(*turns.values(), *rest))


def best(matched: Matched, packed: Sequence[Candidate]) -> float:
    """Of the questions asked, the mean cosine of the best piece of what is packed."""
    pages = cut(packed)
    tops = [max(_nearest(page, pieces) for page in pages) for pieces in matched.values() if pages]
    return sum(tops) / len(tops) if tops else 0.0


def is_read(locale: str) -> bool:
    """Whether the matcher was made for texts in it."""
    return base(locale) == ENGLISH


def _nearest(page: Page, pieces: Mapping[str, float]) -> float:
    return max((pieces.get(text, 0.0) for text in page.headed), default=0.0)


def _in_turn(question: Question, text: str) -> str:
    if not question.leans:
        return text
    earlier = [turn.text for turn in question.history if turn.role == "user"]
    return asked_in_turn(question.asked, earlier)
