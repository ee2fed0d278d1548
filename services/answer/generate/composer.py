"""The extractive composer: a reply out of the sources' own sentences. It needs no model.

Each question of a message is answered by what answers it best, and then it stops: a sentence, a row
of a table with its header and the columns asked for, or a whole procedure; with what it cannot be
understood without, and a second piece only where that is nearly as likely. Every line is a
literal span (or cells of one), so it cannot invent.
"""

import math
import re
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, date, tzinfo
from itertools import groupby
from typing import Final

import numpy as np

from services.answer.contract import Draft, Question
from services.answer.generate import asked
from services.answer.generate.context import Context, asks
from services.answer.generate.remedies import Remedies
from services.answer.generate.rows import names
from services.answer.generate.sentences import Sentences
from services.answer.generate.weigh import Meaning, Unit, is_about, leads, unfinished, weigh
from services.answer.search import Searched, past
from services.answer.search.asks import questions_in, sentence_that_asks
from services.answer.search.match import HOPELESS, Match, best
from services.answer.search.units import CutChunk, cut, headed
from twofold.index.contract import Chunk
from twofold.reply import escaped, strip_marks
from twofold.text.blocks import squeeze
from twofold.text.dates import spelt
from twofold.text.languages import base

SERVED_BY: Final = "composer"
BY_WORDS: Final = "by_words"
"""Repair of a draft whose sentences could not be embedded in time."""
GAP: Final = 1.5
"""How far behind the best piece (log odds) another one may stand and still be said."""
SECOND_WORDS: Final = 55
"""Words in all up to which a second piece is said, where nothing is compared."""
MOST: Final = 2
"""Pieces that answer one question: the second out of another section only where the reader holds it
for an answer, too. Other such pieces are noise; so are most of where no reader reads."""
SURER: Final = 1.0
"""Log odds by which the reader must hold it for more likely than a piece that says what to do."""
FOLLOWED: Final = 2.0
"""Log odds that a unit gains, in answer to a follow-up, where the last answer cites its page: of 96
follow-ups written blind 87 are answered by the page of the turn before. Cited first is the right
page for 67, with .7 for 62; of 27 new questions in a conversation for 21 and 22."""
NAMED: Final = 5.0
"""Log odds that a unit gains that stands for what is asked for as such, times how much of what it
is called that is."""
ROUTE: Final = 2.5
"""Log odds that a unit about what goes wrong gains where its page says what to do about it, which
is told instead: what such sections lose by what they are called (`symptom`)."""
FIRST_ASKED: Final = 0.3
"""What the first question of a message weighs in the meaning of a later one."""
SAME: Final = 0.5
"""A piece that shares so much of its terms (Jaccard) with one that is said adds nothing."""
FEW_COLUMNS: Final = 4
"""Columns of a table of no more are all told, where the question has the whole name of none."""
SURE: Final = 0.75
"""Share of a question's words that a sentence must mean before it is taken for a yes or a no."""

LIKE: Final = 0.2
UNREAD_LIKE: Final = 0.6
ROW_LIKE: Final = 0.5
"""The same of a sentence that denies or grants it in plain words, where the reader holds it for an
answer and where it does not; and of a row that it holds for one."""

AS_OF: Final = {"en": "As of {day}:", "de": "Stand {day}:"}
BEFORE: Final = {"en": "Written before {day}:", "de": "Geschrieben vor dem {day}:"}
"""Said before what was to come when it was written, and is past; of when it is, where known."""
VERDICTS: Final = {
    ("en", "yes"): "Yes.",
    ("en", "no"): "No.",
    ("de", "yes"): "Ja.",
    ("de", "no"): "Nein.",
}

_DESTROYS = re.compile(
    r"(?:\*\*|^[ \t]{0,8}(?:\d{1,3}[.)] {0,3})?)(?:Delete|Erase|Wipe|Purge|Destroy|Löschen?)\b",
    re.MULTILINE,
)
"""A step that is an order, or presses a button, to that end."""
_ENDS_IT = re.compile(
    r"\b(?:delet|eras|wip(?:e|ing)|purg|destroy|remov|clos|cancel|clear|reset|leav|stop|quit|shut"
    r"|kill|drop|forget|get(?:ting)? rid|gone|gdpr|privacy|end(?:s|ed|ing)?\b|lösch|entfern|kündig"
    r"|schließ|weg\b|los\b|dsgvo|datenschutz)\w*",
    re.IGNORECASE,
)
"""Words of those who want something gone; others are not told the steps that destroy it."""

_ANSWERS = re.compile(r"\W{0,9}(?:yes|no|ja|nein)\b", re.IGNORECASE)
_MARKS_BEFORE = re.compile(r"[ ]?(\[\d{1,2}\])(?=(?:\s(?!\n)|\n(?!\n))[^\n]*?\1)")


def compose(
    searched: Searched,
    sentences: Sentences,
    max_words: int,
    until: float = math.inf,
    zone: tzinfo = UTC,
) -> Draft:
    """Returns a cited draft of about `max_words` at most, by `until` (time.monotonic). Something
    must be packed. Days begin in `zone`. `BY_WORDS` among its repairs: the meaning of sentences
    could not be had in time."""
    question, pages = searched.question, cut(searched.packed)
    day = past.today(question.scope)
    questions = questions_in(question)
    texts = list(questions)
    meaning = Meaning.read(texts, pages, sentences, until, pieces=not searched.matched)
    told: list[Unit] = []
    answers: list[str] = []
    dated: list[str] = []
    doubtful: list[str] = []
    unanswered = _unanswered(texts, searched)
    for text, each in questions.items():
        if text in unanswered:
            continue
        last = each.asked if each.leans else text
        vector = searched.found.vector
        if meaning is not None and (question.parts or not question.leans):
            vector = meaning.of[text] + (text != texts[0]) * FIRST_ASKED * meaning.of[texts[0]]
            vector = vector / np.linalg.norm(vector)
        matched = searched.matched.get(text, {})
        every = weigh(text, last, vector, pages, searched.terms, meaning, matched)
        every = _named(_followed(every, each, pages), matched, pages)
        old, own = _said_before(every, each), searched.terms.of(each.asked)
        fresh = max((u.sure for u in every if u not in old), default=-math.inf)
        units = [u for u in every if u not in old or _asks_again(u, own, fresh)] or every
        if not units:
            continue
        context = Context(units, pages, text, last, old)
        chosen, sure = _choose(units, context, told, text, max_words)
        if chosen:
            if matched and sure <= 0 and searched.evidence.answerable < 0:
                doubtful.append(each.asked)
            dates = _dates(chosen, pages, day, zone)
            dated += dates.values()
            answers += _said(chosen, text, last, pages, dates)
            told += chosen
    return Draft(
        action="ANSWER",
        text="\n\n".join(answers),
        served_by=SERVED_BY,
        quotes=_quotes(told, pages),
        repairs=() if meaning is not None else (BY_WORDS,),
        unanswered=tuple(questions[text].asked for text in unanswered),
        dated=tuple(dated),
        doubtful=tuple(doubtful),
    )


def fold_marks(text: str) -> str:
    """Returns the text with a mark once at the end of the sentences or items that it stands for,
    not after each of them."""
    return _MARKS_BEFORE.sub("", text)


def _unanswered(texts: Sequence[str], searched: Searched) -> tuple[str, ...]:
    """Returns those of several questions that no piece may answer, where a piece answers
    another."""
    odds = {text: best({text: searched.matched[text]}, searched.packed).odds
            for text in texts if text in searched.matched}  # fmt: skip
    if len(texts) < 2 or max(odds.values(), default=HOPELESS) < HOPELESS:
        return ()
    return tuple(text for text, best_odds in odds.items() if best_odds < HOPELESS)


def _said_before(units: Sequence[Unit], question: Question) -> list[Unit]:
    """Returns the units that a follow-up has read."""
    if not question.leans:
        return []
    told = " ".join(turn.text for turn in question.history if turn.role == "assistant")
    told = squeeze(strip_marks(told))
    return [unit for unit in units if squeeze(unit.piece.lines[-1]) in told]


def _followed(units: Sequence[Unit], question: Question, pages: Sequence[CutChunk]) -> list[Unit]:
    """Returns the units; to a follow-up those of the documents that were just cited are worth
    more."""
    cited = question.history[-1].documents if question.leans else frozenset()
    return [
        unit._replace(worth=unit.worth + FOLLOWED)
        if pages[unit.mark - 1].candidate.chunk.document in cited
        else unit
        for unit in units
    ]


def _named(
    units: Sequence[Unit], matched: Mapping[str, Match], pages: Sequence[CutChunk]
) -> list[Unit]:
    """Returns the units; what stands for a thing that is asked for as such is worth more."""
    found = []
    for unit in units:
        match = matched.get(headed(pages[unit.mark - 1].candidate.chunk, unit.piece))
        share = match.named if match is not None else 0.0
        found.append(unit._replace(worth=unit.worth + NAMED * share) if share else unit)
    return found


def _asks_again(unit: Unit, own: Set[int], fresh: float) -> bool:
    """Returns whether a message of these terms asks for what it has read: for steps, by most of
    its words; or, by what the reader says, for what no piece answers as well that it has not read
    (log odds of the best of these: `fresh`)."""
    if unit.piece.kind in ("sentence", "item", "row") and unit.sure > max(0.0, fresh) + SURER:
        return True
    least = SAME * len(own) if unit.piece.kind in ("steps", "list") else 1
    return len(unit.terms & own) >= max(least, 1)


def _choose(
    units: Sequence[Unit], context: Context, told: Sequence[Unit], text: str, most: int
) -> tuple[list[Unit], float]:
    """Returns what answers the question, in the order in which it is said: best first, but what
    belongs to one block together; of what the message before it said, at most what answers it
    best. Of what was `told`, the answers to the questions before it, nothing again: another piece,
    if one is likely and about as good, or nothing. And the log odds of the likeliest of it that it
    is an answer."""
    remedies = Remedies(context)
    harmless = [
        unit
        for unit in units
        if not any(_destroys(each, text) for each in context.procedures.steps(unit))
    ]
    open_to = [
        unit
        for unit in harmless
        if not (leads(unit.piece) or context.beside.promises(unit) or asks(unit))
        and not (remedies.empty(unit) or remedies.reproduces(unit))
    ]
    open_to = open_to or harmless or list(units)
    best = max(unit.worth for unit in open_to)
    apart = [unit for unit in open_to if not any(_overlap(unit, each) for each in told)]
    if any(unit.likely and unit.worth > best - GAP for unit in apart):
        open_to = apart
    ranked = sorted(open_to, key=lambda unit: -unit.worth)
    by_route = sorted(ranked, key=lambda unit: -unit.worth - ROUTE * remedies.leads_on(unit))
    first, routed = ranked[0], by_route[0]
    read = first.sure > min(unit.sure for unit in units)
    if not remedies.solves(first) or (read and routed.sure > first.sure + SURER):
        ranked = by_route
    ranked = context.valued(ranked)
    if both := context.both(ranked):
        return both, max(unit.sure for unit in both)
    first = context.meant(ranked[0])
    if any(_overlap(first, each) for each in told):
        return [], 0.0
    said = {(unit.mark, unit.piece) for unit in told}
    if remedy := remedies.of(first):
        return [unit for unit in remedy if (unit.mark, unit.piece) not in said], first.sure
    chosen = context.of(first)
    words = sum(unit.piece.words for unit in chosen)
    chosen = context.after(context.paragraph(chosen, most), most)
    told_words = sum(unit.piece.words for unit in chosen)
    itself = (first.mark, first.piece.block) == (ranked[0].mark, ranked[0].piece.block)
    answers = 1
    room = most if asked.compares(text) else min(most, SECOND_WORDS)
    for unit in ranked[1:]:
        if answers == MOST or unit.worth < first.worth - GAP:
            break
        if (
            unit in chosen
            or unit in context.old
            or is_about(unit)
            or unit.piece.kind in ("steps", "list", "code")
            or (unit.piece.kind == "item" and unfinished(unit.piece))
            or any(_same(unit, each) or _within(unit, each) for each in (*told, *chosen))
            or not (context.sections.together(unit, first) or (unit.likely and itself))
        ):
            continue
        if (
            words if context.sections.together(unit, first) else told_words
        ) + unit.piece.words > room:
            continue
        chosen += [each for each in context.of(unit) if each not in chosen]
        words += unit.piece.words
        answers += 1
    places = {(unit.mark, unit.piece.block): i for i, unit in reversed([*enumerate(chosen)])}
    chosen.sort(key=lambda u: (places[u.mark, u.piece.block], u.piece.place))
    fresh = [unit for unit in chosen if (unit.mark, unit.piece) not in said]
    return fresh, max(ranked[0].sure, *(unit.sure for unit in chosen))


def _destroys(unit: Unit, text: str) -> bool:
    """Returns whether the unit is steps that destroy what nobody asked to destroy: a question that
    no page answers is near them by its words ("rename the workspace")."""
    steps = unit.piece.kind in ("steps", "step")
    return steps and bool(_DESTROYS.search(unit.piece.read)) and not _ENDS_IT.search(text)


def _within(one: Unit, two: Unit) -> bool:
    """Returns whether one unit stands in the other, or both are rows of one table."""
    same = (one.mark, one.piece.block) == (two.mark, two.piece.block)
    return (same and bool(one.piece.head and two.piece.head)) or _overlap(one, two)


def _overlap(one: Unit, two: Unit) -> bool:
    """Returns whether one is the other, or a part of it."""
    a, b = one.piece.span, two.piece.span
    return one.mark == two.mark and a.start < b.end and b.start < a.end


def _same(one: Unit, two: Unit) -> bool:
    return len(one.terms & two.terms) >= SAME * len(one.terms | two.terms)


def _dates(
    chosen: Sequence[Unit], pages: Sequence[CutChunk], day: date, zone: tzinfo
) -> dict[int, str]:
    """Returns, by mark, the words that say of when a page is: for those of which something is said
    that was to come and is past by that day."""
    found = {}
    for unit in chosen:
        page = pages[unit.mark - 1]
        foretold = past.gone(page, day).get(unit.piece.place)
        if foretold is not None:
            chunk = page.candidate.chunk
            written, locale = past.written(chunk, zone), base(chunk.locale)
            words, of = BEFORE, foretold
            if written is not None and written < foretold:
                words, of = AS_OF, written
            found[unit.mark] = words.get(locale, words["en"]).format(day=spelt(of, locale))
    return found


def _said(
    chosen: Sequence[Unit],
    text: str,
    last: str,
    pages: Sequence[CutChunk],
    dates: dict[int, str],
) -> list[str]:
    """Returns the reply's Markdown, with a mark after each sentence, item, list, table and code
    block. `dates` are said before what they belong to."""
    blocks: list[str] = []
    before: Unit | None = None
    steps = [unit.mark for unit in chosen if unit.piece.kind == "steps"]
    sections = {pages[mark - 1].candidate.chunk.heading_path for mark in steps}
    if len(sections) < 2:
        sections.clear()
    for (mark, _), group in groupby(chosen, key=lambda unit: (unit.mark, unit.piece.block)):
        units = list(group)
        kind = units[0].piece.kind
        chunk = pages[mark - 1].candidate.chunk
        if chunk.heading_path in sections:
            sections.remove(chunk.heading_path)
            blocks.append(_heading(chunk))
            before = None
        if kind == "row":
            blocks.append(f"{_table(units, text, last)}\n\n[{mark}]")
        elif kind == "code":
            blocks.append(f"{units[0].piece.shown}\n\n[{mark}]")
        else:
            lines = [
                line if leads(unit.piece) else f"{line} [{mark}]"
                for unit in units
                for line in unit.piece.lines
            ]
            if kind in ("item", "list") and before is None and unfinished(units[0].piece):
                lines.insert(0, _heading(chunk))
            inline = all(unit.piece.kind in ("sentence", "step") for unit in units)
            said = (" " if inline else "\n").join(lines)
            if kind == "steps" and before is not None and before.piece.kind == "steps":
                said = f"{blocks.pop()}\n{said}"
            blocks.append(said)
        if (of_when := dates.pop(mark, None)) is not None:
            apart = " " if kind in ("sentence", "step") else "\n\n"
            blocks[-1] = f"{of_when}{apart}{blocks[-1]}"
        before = units[-1]
    verdict = _verdict(chosen, last, pages[chosen[0].mark - 1].candidate.chunk.locale)
    if verdict and blocks:
        apart = " " if chosen[0].piece.kind == "sentence" else "\n\n"
        blocks[0] = f"{verdict}{apart}{blocks[0]}"
    return blocks


def _heading(chunk: Chunk) -> str:
    """Returns what says of a list's fragments what they are, where no sentence leads to them."""
    heading = escaped((chunk.title, *chunk.heading_path)[-1]).rstrip(": ")
    return heading if heading.endswith("?") else f"{heading}:"


def _table(units: Sequence[Unit], text: str, last: str) -> str:
    """Returns the rows below their header, with the first column, those that the question names,
    and those of prices where it asks for one; with all where it names none."""
    piece = units[0].piece
    if not piece.head:
        return piece.shown
    rows = [piece.head, *(unit.piece.cells for unit in units)]
    named = _columns(piece.head, last) or _columns(piece.head, text)
    if named:
        wants = asked.read(text)
        valued = {i for row in rows[1:] for i, cell in enumerate(row) if i and wants.told_in(cell)}
        named |= set() if named & valued else valued
    keep = sorted({0} | named) if named else range(len(piece.head))
    lines = [_row([row[i] for i in keep if i < len(row)]) for row in rows]
    lines.insert(1, _row(["---"] * len(keep)))
    return "\n".join(lines)


def _columns(head: Sequence[str], text: str) -> set[int]:
    """Returns the columns that a text names; where it has only some words of their names, those of
    a wide table alone: "how many deliveries" means no price of further deliveries."""
    words = names(text)
    named = {i: names(name) for i, name in enumerate(head) if i and words & names(name)}
    whole = {i for i, name in named.items() if name <= words}
    return whole or ({*named} if len(head) > FEW_COLUMNS else set())


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _verdict(chosen: Sequence[Unit], text: str, locale: str) -> str:
    """Returns "Yes" or "No" where the question wants one and what is said first implies it without
    saying so: a sentence, or a row that stands alone."""
    unit = chosen[0]
    wants, said = asked.read(sentence_that_asks(text)), ""
    if unit.piece.kind in ("sentence", "item") and not _ANSWERS.match(unit.piece.shown):
        if unit.soft >= (LIKE if unit.likely else UNREAD_LIKE):
            said = asked.plain_verdict(wants, unit.piece.shown)
        if unit.soft >= SURE and asked.denies(asked.read(text), unit.piece.shown):
            said = "no"
    elif unit.likely and unit.soft >= ROW_LIKE and [u for u in chosen if u.piece.cells] == [unit]:
        said = asked.row_verdict(wants, unit.piece.head, unit.piece.cells)
    return VERDICTS.get((base(locale), said), "")


def _quotes(told: Sequence[Unit], pages: Sequence[CutChunk]) -> dict[int, str]:
    """Returns, for each mark, the span of its chunk from the first to the last piece of one
    block, word for word."""
    quotes: dict[int, str] = {}
    for mark in dict.fromkeys(unit.mark for unit in told):
        own = [unit.piece for unit in told if unit.mark == mark]
        same = [piece for piece in own if piece.block == own[0].block]
        text = pages[mark - 1].candidate.chunk.text
        quotes[mark] = text[min(p.span.start for p in same) : max(p.span.end for p in same)]
    return quotes
