"""The extractive composer: a reply out of the sources' own sentences. It needs no model.

It takes the passage of the best chunk that covers the question, then adds passages of other chunks
while they cover words that are still uncovered. Every line is a literal span, so it cannot invent.
"""

from collections.abc import Sequence
from typing import NamedTuple

from services.answer.contract import Candidate, Draft
from services.answer.pack import Terms
from twofold.prose import Span, blocks, parts, plain

SERVED_BY = "composer"
LEAD_WORDS = 90
"""Length the first passage grows to."""
MORE_WORDS = 45
MAX_SOURCES = 3
NEW_COVERAGE = 0.12
"""Share of the question's weight that a further passage must newly cover, or"""
CLOSE_SCORE = 0.93
"""the share of the best chunk's score above which a second opinion is worth its words."""


class Unit(NamedTuple):
    """The smallest thing to quote: a sentence, a list item, a table row, a code block."""

    kind: str
    span: Span
    words: int
    weight: float


class Passage(NamedTuple):
    """Consecutive units of one chunk."""

    mark: int
    units: tuple[Unit, ...]
    terms: frozenset[int]


def compose(packed: Sequence[Candidate], terms: Terms, max_words: int) -> Draft:
    """A cited draft of about `max_words`. `packed` must not be empty."""
    lead = _passage(1, packed[0], terms, min(LEAD_WORDS, max_words))
    passages = [lead]
    covered = lead.terms
    budget = max_words - sum(unit.words for unit in lead.units)
    for mark, candidate in enumerate(packed[1:], start=2):
        if len(passages) == MAX_SOURCES or budget < MORE_WORDS // 2:
            break
        more = _passage(mark, candidate, terms, min(MORE_WORDS, budget))
        gain = terms.coverage(covered | more.terms) - terms.coverage(covered)
        close = candidate.score >= CLOSE_SCORE * packed[0].score
        if not more.units or (gain < NEW_COVERAGE and not close):
            continue
        passages.append(more)
        covered |= more.terms
        budget -= sum(unit.words for unit in more.units)
    return Draft(
        action="ANSWER",
        text="\n\n".join(_show(p, packed[p.mark - 1].chunk.text) for p in passages),
        served_by=SERVED_BY,
        quotes={p.mark: _quote(p, packed[p.mark - 1].chunk.text) for p in passages},
    )


def _passage(mark: int, candidate: Candidate, terms: Terms, budget: int) -> Passage:
    """The run of units around the best one, grown towards the heavier side while words last."""
    text = candidate.chunk.text
    units = _units(text, terms)
    if not units:
        return Passage(mark, (), frozenset())
    low = high = max(range(len(units)), key=lambda i: (units[i].weight, -i))
    words = units[low].words
    while True:
        before = units[low - 1] if low > 0 else None
        after = units[high + 1] if high + 1 < len(units) else None
        # On a tie text is read on, not back; but a table row or a step needs what stands above it.
        grow_back = before is not None and (
            after is None or before.weight > after.weight or units[low].kind in ("list", "table")
        )
        unit = before if grow_back else after
        if unit is None or words + unit.words > budget:
            other = after if grow_back else before
            if other is None or words + other.words > budget:
                break
            unit, grow_back = other, not grow_back
        words += unit.words
        low, high = (low - 1, high) if grow_back else (low, high + 1)
    chosen = tuple(units[low : high + 1])
    return Passage(mark, chosen, terms.of(text[chosen[0].span.start : chosen[-1].span.end]))


def _units(text: str, terms: Terms) -> list[Unit]:
    units = []
    for block in blocks(text):
        for span in parts(text, block):
            words = text[span.start : span.end]
            units.append(Unit(block.kind, span, len(words.split()), terms.weight(terms.of(words))))
    return units


def _quote(passage: Passage, text: str) -> str:
    return text[passage.units[0].span.start : passage.units[-1].span.end]


def _show(passage: Passage, text: str) -> str:
    """The passage as reply Markdown: a mark after each sentence, item, table or code block."""
    mark = f"[{passage.mark}]"
    lines: list[str] = []
    previous = ""
    table = False
    for unit in passage.units:
        words = plain(text[unit.span.start : unit.span.end])
        if table and unit.kind != "table":
            lines += ["", mark]
        table = unit.kind == "table"
        if unit.kind == "paragraph":
            line = words if words.endswith(":") else f"{words} {mark}"
            if previous == "paragraph":
                lines[-1] += f" {line}"
            else:
                lines += ["", line]
        elif unit.kind == "list":
            lines += ([""] if previous != "list" else []) + [f"{words} {mark}"]
        elif unit.kind == "table":
            lines += ([""] if previous != "table" else []) + [words]
        else:
            lines += ["", text[unit.span.start : unit.span.end], "", mark]
        previous = unit.kind
    if table:
        lines += ["", mark]
    return "\n".join(lines).strip()
