"""Match: how near each piece of what was found comes to answering the question, and of the nearest,
read together with it, how likely they answer; what does most likely is first."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import date
from itertools import zip_longest
from statistics import fmean
from typing import Final, NamedTuple

from services.answer.contract import Candidate, Found, Question
from services.answer.search import past
from services.answer.search.asks import questions_in
from services.answer.search.condense import meant_before
from services.answer.search.expand import Synonyms, synonyms
from services.answer.search.names import names_in, of_another
from services.answer.search.pointers import asks_where, only_points
from services.answer.search.topics import named
from services.answer.search.units import CutChunk, cut
from twofold.clients.matcher import Matcher, asked_in_turn
from twofold.clients.reader import Reader
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

READ: Final = 8
"""Pieces nearest to a question that are read: each takes a processor some 15 ms. On help centers
that nothing was trained on the best piece is right for .807 of the questions with four read, .818
with six, .824 with eight, .832 with twelve."""
UNREAD: Final = -6.0
"""Log odds where nothing of what is packed was read."""
HOPELESS: Final = -2.0
"""Log odds of the best piece for one of several questions, below which the answer says nothing to
it: so says the reader of .59 of what no page of a help center that it never saw answers, and of
.058 of what one does."""
READ_WEIGHT: Final = 0.1
"""Of a piece's log odds, against its cosine: on the same help centers the best piece is right for
.824 of the questions that one answers; without the odds for .72, by them alone for .805."""
MOST_ODDS: Final = 5.0
"""Log odds either way from which on a piece is as sure as any other."""
NAMED: Final = 2.0
"""Log odds, above even ones or the reader's, of a piece that stands for what is asked for as such,
times the share that the thing has in what the piece is called."""
CLOSE: Final = 0.15
"""How far a piece that stands may be behind one about what was to come and is past (`likely`), and
still be taken instead of it, where it answers more likely than not."""


class Match(NamedTuple):
    """`near`: cosine of piece and question, as the matcher sees them; `odds`: log odds that it
    answers, as the reader does, the least of the read ones' where it was not read. Of what cannot
    answer, whatever it is like, `holds` is false: it tells of another product than is asked for,
    what was to come and is past, or only where to read on. `named`: how much (0..1) of what it is
    called is what the question asks for as such."""

    near: float
    odds: float = 0.0
    holds: bool = True
    named: float = 0.0

    @property
    def sure(self) -> float:
        """The odds, as far as they tell one piece from another."""
        return min(max(self.odds, -MOST_ODDS), MOST_ODDS)

    @property
    def likely(self) -> float:
        return self.near + READ_WEIGHT * self.sure


Matched = Mapping[str, Mapping[str, Match]]
"""Question -> piece below its headings -> how they match."""


def match(
    question: Question,
    found: Found,
    by: Matcher,
    reader: Reader | None,
    also: Synonyms | None = None,
) -> Matched:
    """Returns how all pieces of the first candidates match; nothing for languages that the
    matcher was not made for. `also` are the house's other words."""
    if not is_read(question.locale):
        return {}
    pages = [
        page for page in cut(found.candidates[:RANKED]) if is_read(page.candidate.chunk.locale)
    ]
    pieces = list(dict.fromkeys(text for page in pages for text in page.headed))
    asked = {text: _in_turn(each, text) for text, each in questions_in(question).items()}
    vectors = by.vectors([*asked.values(), *pieces])
    gone = _gone(pages, past.today(question.scope))
    points = {
        text
        for page in pages
        for piece, text in zip(page.pieces, page.headed, strict=True)
        if only_points(piece)
    }
    lists = _lists(pages)
    matched = {}
    for text, each in questions_in(question).items():
        put = asked[text]
        near = {piece: float(vectors[piece] @ vectors[put]) for piece in pieces}
        barred = _of_another(pages, each.asked, also or synonyms())
        if not asks_where(text):
            barred |= points
        if past.looks_ahead(text):
            barred |= gone
        holding = {piece: cosine for piece, cosine in near.items() if piece not in barred}
        odds = _read(put, holding, reader, lists) if reader is not None else {}
        if reader is not None and past.asks_how_it_is(text) and not gone.isdisjoint(odds):
            standing = _elsewhere(pages, gone) - barred
            odds |= _read(put, {piece: near[piece] for piece in standing}, reader, lists)
            read = {piece: Match(near[piece], odds[piece]) for piece in odds}
            if _stands(read, standing, gone):
                barred |= gone
        called: dict[str, float] = {}
        if reader is not None and near:
            called = named(text, pages, also or synonyms())
            nearest = max(near.values())
            for piece in called.keys() - barred:
                near[piece] = nearest
                odds[piece] = max(odds.get(piece, 0.0), 0.0) + NAMED * called[piece]
        least = min(odds.values(), default=0.0)
        matched[text] = {
            piece: Match(
                near[piece], odds.get(piece, least), piece not in barred, called.get(piece, 0.0)
            )
            for piece in pieces
        }
    return matched


def nearest_first(question: Question, found: Found, matched: Matched) -> Found:
    """Returns the candidates by score and nearest piece; where several things are asked, the
    best for each in turn."""
    if not matched or not found.candidates:
        return found
    first, rest = found.candidates[:RANKED], found.candidates[RANKED:]
    most = max(abs(each.score) for each in first) or 1.0
    pages = cut(first)
    lists = [
        sorted(
            (
                replace(page.candidate, score=page.candidate.score / most + weight * near)
                for page in pages
                for near in [_nearest(page, matched[text])]
            ),
            key=lambda candidate: -candidate.score,
        )
        for text, each in questions_in(question).items()
        for weight in [_weight(each)]
    ]
    turns: dict[str, Candidate] = {}
    for row in zip_longest(*lists):
        for each in row:
            turns.setdefault(each.chunk.id, each)
    return replace(found, candidates=(*turns.values(), *rest))


def best(matched: Matched, packed: Sequence[Candidate]) -> Match:
    """Returns the mean, over the questions asked, of the best match among the packed pieces; of
    several, those that the answer says nothing to are left out."""
    pages = cut(packed)
    if not pages or not matched:
        return Match(0.0)
    held = [
        [pieces[text] for page in pages for text in page.headed
         if text in pieces and pieces[text].holds]
        for pieces in matched.values()
    ]  # fmt: skip
    found = [
        Match(
            max((each.near for each in own), default=0.0),
            max((each.odds for each in own), default=UNREAD),
        )
        for own in held
    ]
    found = [each for each in found if each.odds >= HOPELESS] or found
    return Match(fmean(each.near for each in found), fmean(each.odds for each in found))


def only_past(matched: Matched) -> bool:
    """Returns whether a question for what is to come comes nearest to what is past."""
    return any(
        past.looks_ahead(text) and not max(pieces.values(), key=lambda each: each.near).holds
        for text, pieces in matched.items()
        if pieces
    )


def is_read(locale: str) -> bool:
    """Returns whether the matcher was made for texts in `locale`."""
    return base(locale) == ENGLISH


def _gone(pages: Sequence[CutChunk], day: date) -> set[str]:
    """Returns the pieces about what was to come and is past on that day."""
    return {
        page.headed[at]
        for page in pages
        for gone in [past.gone(page, day)]
        for at, piece in enumerate(page.pieces)
        if piece.place in gone
    }


def _elsewhere(pages: Sequence[CutChunk], gone: Set[str]) -> set[str]:
    """Returns the pieces of documents that say nothing of what is gone: the title of one that does
    makes the rest of it look like an answer."""
    about_it = {page.candidate.chunk.document for page in pages if not gone.isdisjoint(page.headed)}
    return {
        text
        for page in pages
        if page.candidate.chunk.document not in about_it
        for text in page.headed
    }


def _stands(read: Mapping[str, Match], standing: Set[str], gone: Set[str]) -> bool:
    """Returns whether a standing piece answers about as well as those that are gone."""
    least = max(each.likely for piece, each in read.items() if piece in gone) - CLOSE
    return any(
        each.odds > 0 and each.likely >= least for piece, each in read.items() if piece in standing
    )


def _of_another(pages: Sequence[CutChunk], asked: str, also: Synonyms) -> set[str]:
    """Returns the pieces that tell of another product than the one that is asked for."""
    names = names_in(asked)
    others = (page for page in pages if of_another(page.candidate.chunk, names, also))
    return {text for page in others for text in page.headed}


def _lists(pages: Sequence[CutChunk]) -> dict[str, str]:
    """Returns, for each sentence of a step, the list of steps that it stands in."""
    found: dict[str, str] = {}
    for page in pages:
        read = list(zip(page.pieces, page.headed, strict=True))
        whole = {piece.block: text for piece, text in read if piece.kind == "steps"}
        found |= {text: whole[piece.block] for piece, text in read if piece.kind == "step"}
    return found


def _read(
    question: str, near: Mapping[str, float], reader: Reader, lists: Mapping[str, str]
) -> dict[str, float]:
    """Returns the odds of the nearest pieces. Of steps the nearest sentence is read, and the whole
    list, which is what is told to who asks how something is done."""
    pieces: dict[str, None] = {}
    begun: set[str] = set()
    for piece in sorted(near, key=lambda piece: -near[piece]):
        if len(pieces) >= READ:
            break
        whole = lists.get(piece)
        if whole not in begun:
            pieces[piece] = None
        if whole is not None and whole in near:
            begun.add(whole)
            pieces[whole] = None
    if not pieces:
        return {}
    return dict(zip(pieces, map(float, reader.odds(question, list(pieces))), strict=True))


def _nearest(page: CutChunk, pieces: Mapping[str, Match]) -> float:
    held = (pieces[text] for text in page.headed if text in pieces)
    return max((each.likely for each in held if each.holds), default=0.0)


def _weight(question: Question) -> float:
    if question.leans:
        return LEANING_WEIGHT
    return LATER_WEIGHT if question.history else WEIGHT


def _in_turn(question: Question, text: str) -> str:
    if not question.leans:
        return text
    return asked_in_turn(question.asked, meant_before(question.history))
