"""The extractive composer: a reply out of the sources' own sentences. It needs no model.

It takes a passage of the best chunk, then adds passages of other chunks while they cover words
of the question that are still uncovered. Every line is a literal span, so it cannot invent. What
was said earlier in the conversation is said again only where it holds a word of the new message.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from services.answer.contract import Candidate, Draft, Question
from services.answer.pack import Terms
from twofold.prose import Block, Span, blocks, items, parts, plain, squeeze
from twofold.reply import strip_marks
from twofold.security import gives_orders

SERVED_BY = "composer"
LEAD_WORDS = 70
"""Length the first passage grows to."""
MORE_WORDS = 45
MAX_SOURCES = 3
NEW_COVERAGE = 0.12
"""Share of the question's weight that a further passage must newly cover, or"""
CLOSE_SCORE = 0.8
"""the share of the best chunk's score above which a second opinion is worth its words."""
RIGHT_KIND = 0.2
"""What a sentence of the kind asked for (a number, a step) is worth, in coverage."""
HEADER_ROWS = 2
STALE = -1.0
"""The worth of what was said before."""
MAX_ROWS = 6
"""Rows of a table that are shown whole; of a longer one only those that match."""

_ASKS_NUMBER = re.compile(
    r"\bhow (?:long|many|much|often|large|big|fast|soon|late|old|far|quickly)\b|\bwhen\b|\bcosts?\b"
    r"|\bprices?\b|\blimit\b|\bmax(?:imum)?\b|\btimeout\b|\bpercent|\bfee\b|\bhow .{0,20} long\b"
    r"|\bwie (?:lange|viele?|oft|groß|hoch|schnell)\b|\bwann\b|\bkostet\b|\bhöchstens\b",
    re.IGNORECASE,
)
_ASKS_STEPS = re.compile(
    r"\bhow (?:do|can|should|would|could|does one|am) \b|\bhow to\b|\bwhere (?:do|can|is|are|to)\b"
    r"|\bsteps?\b|\bset ?up\b|\bwie (?:kann|richte|ändere|lade|stelle|mache|füge|prüfe|kündige)\b"
    r"|\bwo (?:finde|kann|ist|sehe|stelle)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|twelve|zwei|drei)\b"
)
_STEP = re.compile(r"\d{1,2}[.)]\s")


class Wanted(NamedTuple):
    """What the reply is to be about."""

    question: str
    said: str
    """Our earlier messages of the conversation, white space folded."""
    new: frozenset[int]
    """Terms of the last message."""


class Unit(NamedTuple):
    """The smallest thing to quote: a sentence, a list item, a table, a code block."""

    kind: str
    span: Span
    show: str
    worth: float

    @property
    def words(self) -> int:
        return len(self.show.split())


class Passage(NamedTuple):
    """Consecutive units of one chunk; `mark` is its place among the packed, from 1."""

    mark: int
    units: tuple[Unit, ...]
    terms: frozenset[int]

    @property
    def words(self) -> int:
        return sum(unit.words for unit in self.units)


def compose(packed: Sequence[Candidate], question: Question, terms: Terms, max_words: int) -> Draft:
    """A cited draft of about `max_words`. `packed` must not be empty."""
    said = " ".join(turn.text for turn in question.history if turn.role == "assistant")
    wanted = Wanted(question.standalone, squeeze(strip_marks(said)), terms.of(question.asked))
    passages = _passages(packed, wanted, terms, max_words)
    if not passages and said:
        passages = _passages(packed, wanted._replace(said=""), terms, max_words)
    return Draft(
        action="ANSWER",
        text="\n\n".join(_show(passage) for passage in passages),
        served_by=SERVED_BY,
        quotes={p.mark: _quote(p, packed[p.mark - 1].chunk.text) for p in passages},
    )


def _passages(
    packed: Sequence[Candidate], wanted: Wanted, terms: Terms, max_words: int
) -> list[Passage]:
    passages: list[Passage] = []
    covered: frozenset[int] = frozenset()
    budget = max_words
    for mark, candidate in enumerate(packed, start=1):
        if len(passages) == MAX_SOURCES or budget < MORE_WORDS // 2:
            break
        room = min(MORE_WORDS if passages else LEAD_WORDS, budget)
        passage = _passage(mark, candidate, wanted, terms, room)
        gain = terms.coverage(covered | passage.terms) - terms.coverage(covered)
        close = candidate.score >= CLOSE_SCORE * packed[0].score
        if passage.units and (close or gain >= NEW_COVERAGE):
            passages.append(passage)
            covered |= passage.terms
            budget -= passage.words
    return passages


def _passage(mark: int, candidate: Candidate, wanted: Wanted, terms: Terms, budget: int) -> Passage:
    """The run of units around the best one, grown towards the worthier side while words last."""
    text = candidate.chunk.text
    units = [unit for block in blocks(text) for unit in _units(text, block, wanted, terms)]
    if all(unit.worth == STALE for unit in units):
        return Passage(mark, (), frozenset())
    low = high = max(range(len(units)), key=lambda i: (units[i].worth, -i))
    words = units[low].words
    while True:
        before = units[low - 1] if low > 0 else None
        after = units[high + 1] if high + 1 < len(units) else None
        # On a tie text is read on, not back; but a step needs the ones above it.
        back = before is not None and (
            after is None or before.worth > after.worth or units[low].kind == "list"
        )
        for unit, backwards in ((before, True), (after, False)) if back else (
            (after, False), (before, True)
        ):  # fmt: skip
            if unit is not None and unit.worth != STALE and words + unit.words <= budget:
                words += unit.words
                low, high = (low - 1, high) if backwards else (low, high + 1)
                break
        else:
            break
    chosen = tuple(units[_first_step(units, low, high) : high + 1])
    return Passage(mark, chosen, terms.of(text[chosen[0].span.start : chosen[-1].span.end]))


def _first_step(units: Sequence[Unit], low: int, high: int) -> int:
    """Where to begin so that steps come from the first on, if so many words may be said."""
    first = low
    while _STEP.match(units[first].show) and first > 0 and _is_step(units[first - 1]):
        first -= 1
    words = sum(unit.words for unit in units[first : high + 1])
    return first if words <= LEAD_WORDS else low


def _is_step(unit: Unit) -> bool:
    return unit.kind == "list" and unit.worth != STALE and _STEP.match(unit.show) is not None


def _units(text: str, block: Block, wanted: Wanted, terms: Terms) -> list[Unit]:
    if block.kind == "table":
        return [_table(text, block.span, wanted.question, terms)]
    units = []
    for span in parts(text, block):
        words = text[span.start : span.end]
        if gives_orders(words):
            continue
        show = text[slice(*block.span)] if block.kind == "code" else plain(words)
        stale = squeeze(show) in wanted.said and not terms.of(words) & wanted.new
        worth = STALE if stale else _worth(words, wanted.question, terms)
        units.append(Unit(block.kind, span, show, worth))
    return units


def _table(text: str, span: Span, question: str, terms: Terms) -> Unit:
    """A table as one unit: whole when small, else its header and the rows that match."""
    rows = [plain(text[row.start : row.end]) for row in items(text, span)]
    head, body = rows[:HEADER_ROWS], rows[HEADER_ROWS:]
    if len(body) > MAX_ROWS:
        ranked = sorted(range(len(body)), key=lambda i: -terms.weight(terms.of(body[i])))
        body = [body[i] for i in sorted(ranked[:MAX_ROWS])]
    words = text[span.start : span.end]
    return Unit("table", span, "\n".join([*head, *body]), _worth(words, question, terms))


def _worth(words: str, question: str, terms: Terms) -> float:
    """Coverage of the question (0..1), and whether it is the kind of thing that was asked for."""
    worth = terms.coverage(terms.of(words))
    if _ASKS_NUMBER.search(question) and _NUMBER.search(words):
        worth += RIGHT_KIND
    if _STEP.match(words):
        worth += RIGHT_KIND if _ASKS_STEPS.search(question) else -RIGHT_KIND
    return worth


def _quote(passage: Passage, text: str) -> str:
    """The literal span. A later piece of a split table opens with a repeated header, which does not
    stand there in the document: it is left out."""
    first = passage.units[0]
    start = first.span.start
    rows = items(text, first.span)
    if first.kind == "table" and start == 0 and len(rows) > HEADER_ROWS:
        start = rows[HEADER_ROWS].start
    return text[start : passage.units[-1].span.end]


def _show(passage: Passage) -> str:
    """The passage as reply Markdown: a mark after each sentence, item, table and code block."""
    mark = f"[{passage.mark}]"
    shown = ""
    previous = ""
    for unit in passage.units:
        if unit.kind == "paragraph":
            line = unit.show if unit.show.endswith(":") else f"{unit.show} {mark}"
        elif unit.kind == "list":
            line = f"{unit.show} {mark}"
        else:
            line = f"{unit.show}\n\n{mark}"
        if previous == unit.kind == "paragraph":
            shown += f" {line}"
        else:
            shown += ("\n" if previous == unit.kind == "list" else "\n\n") + line
        previous = unit.kind
    return shown.strip()
