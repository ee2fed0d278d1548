"""The extractive composer: a reply out of the sources' own sentences. It needs no model.

Every sentence, item, list of steps, table and block of code of the packed chunks is weighed: how
well its chunk was found, how like the question it is, how many of the question's words it holds.
The best are said, chunk by chunk, with what they cannot be understood without. Every line is a
literal span, so it cannot invent. What was said earlier in the conversation is said again only
where it holds a word of the new message.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.answer.contract import Candidate, Draft, Question
from services.answer.generate.sentences import Sentences
from services.answer.pack import Terms
from twofold.prose import Block, Span, blocks, items, parts, plain, squeeze
from twofold.reply import strip_marks
from twofold.security import gives_orders

SERVED_BY = "composer"
CLUES = ("score", "likeness", "coverage", "number", "steps", "table", "short")
WEIGHTS = (4.12, 4.97, 2.29, 0.51, 1.2, 1.1, -1.46)
"""What each of CLUES adds to the log odds that a unit holds what was asked for. Made by
benchmarks/fit_composer.py, but for steps (.37 there) and tables (2.12): the key facts that it
learns from are mostly numbers, and a fourth of them stand in tables. Who asks how to do something
is helped by its steps, and a table that does not fit is in the way. Key facts on the tune half:
.833 as fitted, .821 so."""
GAP = 2.5
"""Log odds below the best unit's at which there is nothing more to say."""
MAX_SOURCES = 3
STEPS_WORDS = 90
"""A numbered list of no more is said whole or not at all."""
SAME = 0.6
"""A unit that shares so much of its terms (Jaccard) with one that is said already adds nothing."""
SHORT = 5
"""Words; a unit of fewer is a label rather than a statement."""
HEADER_ROWS = 2
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
_LEANS = re.compile(
    r"(it|its|they|them|their|this|that|these|those|he|she|then|after that|otherwise|both|so|but"
    r"|er|sie|es|dies\w*|das|danach|dann|sonst|beide|dabei|damit|dafür)\b",
    re.IGNORECASE,
)
"""A sentence that begins so says little without the one before it."""


class Unit(NamedTuple):
    """The smallest thing to quote. `mark` is its chunk's place among the packed, from 1; `block`
    and `place` are its places in the chunk."""

    mark: int
    block: int
    place: int
    kind: str
    span: Span
    lines: tuple[str, ...]
    """As they are shown; each gets its mark."""
    terms: frozenset[int]
    clues: tuple[float, ...]
    said: bool
    """Said earlier in the conversation, and not asked for again."""

    @property
    def worth(self) -> float:
        return sum(weight * clue for weight, clue in zip(WEIGHTS, self.clues, strict=True))

    @property
    def words(self) -> int:
        return sum(len(line.split()) for line in self.lines)


class Wanted(NamedTuple):
    """What the reply is to be about."""

    question: Question
    vector: npt.NDArray[np.float32]
    terms: Terms
    sentences: Sentences


def compose(packed: Sequence[Candidate], wanted: Wanted, max_words: int) -> Draft:
    """A cited draft of about `max_words` at most. `packed` must not be empty."""
    found = units(packed, wanted)
    new = [unit for unit in found if not unit.said]
    groups = _choose(new or found, max_words)
    return Draft(
        action="ANSWER",
        text="\n\n".join(_show(group) for group in groups),
        served_by=SERVED_BY,
        quotes={
            group[0].mark: _quote(group, packed[group[0].mark - 1].chunk.text) for group in groups
        },
    )


def units(packed: Sequence[Candidate], wanted: Wanted) -> list[Unit]:
    """Everything that could be said, weighed; in the order of the chunks."""
    terms, question = wanted.terms, wanted.question
    said = " ".join(turn.text for turn in question.history if turn.role == "assistant")
    said, new = squeeze(strip_marks(said)), terms.of(question.asked)
    asks_number = _ASKS_NUMBER.search(question.standalone) is not None
    asks_steps = _ASKS_STEPS.search(question.standalone) is not None
    best = max(abs(candidate.score) for candidate in packed) or 1.0
    pieces = [list(_pieces(candidate.chunk.text, terms)) for candidate in packed]
    heads = [candidate.chunk.heading for candidate in packed]
    likeness = wanted.sentences.cosines(
        [
            tuple(f"{head}\n{piece.shown}" for piece in each)
            for head, each in zip(heads, pieces, strict=True)
        ],
        wanted.vector,
    )
    found = []
    for mark, (candidate, head, each, alike) in enumerate(
        zip(packed, heads, pieces, likeness, strict=True), start=1
    ):
        headed = terms.of(head)
        for place, (piece, cosine) in enumerate(zip(each, alike, strict=True)):
            held = terms.of(piece.text)
            clues = (
                candidate.score / best,
                float(cosine),
                terms.coverage(held | headed),
                float(asks_number and _NUMBER.search(piece.text) is not None),
                float(asks_steps and piece.kind == "steps"),
                float(piece.kind == "table"),
                float(len(piece.shown.split()) < SHORT),
            )
            stale = squeeze(piece.shown) in said and not held & new
            found.append(
                Unit(
                    mark,
                    piece.block,
                    place,
                    piece.kind,
                    piece.span,
                    piece.lines,
                    held,
                    clues,
                    stale,
                )
            )
    return found


def _choose(found: Sequence[Unit], most: int) -> list[list[Unit]]:
    """The units to say, those of one chunk together and in its order; best chunk first."""
    ranked = sorted(found, key=lambda unit: -unit.worth)
    chunks: dict[int, list[Unit]] = defaultdict(list)
    for unit in found:
        chunks[unit.mark].append(unit)
    chosen: dict[int, set[Unit]] = {}
    left = most
    for unit in ranked:
        if unit.worth < ranked[0].worth - GAP:
            break
        if unit.mark not in chosen and len(chosen) == MAX_SOURCES:
            continue
        told = set().union(*chosen.values())
        new = {unit, *_context(unit, chunks[unit.mark])} - told
        words = sum(each.words for each in new)
        if chosen and (words > left or any(_same(unit, each) for each in told)):
            continue
        chosen.setdefault(unit.mark, set()).update(new)
        left -= words
    return [sorted(group, key=lambda unit: unit.place) for group in chosen.values()]


def _same(one: Unit, two: Unit) -> bool:
    return len(one.terms & two.terms) >= SAME * len(one.terms | two.terms)


def _context(unit: Unit, chunk: Sequence[Unit]) -> list[Unit]:
    """What a reader needs beside the unit: the step before it, what introduces a list, table or
    code, or what a sentence leans on."""
    before = [each for each in chunk if each.place < unit.place]
    if unit.kind == "paragraph":
        leans = before and before[-1].block == unit.block and _LEANS.match(unit.lines[0])
        return [before[-1]] if leans else []
    own = [each for each in before if each.block == unit.block]
    lead = before[len(before) - len(own) - 1 :][:1] if len(before) > len(own) else []
    lead = [each for each in lead if each.lines[-1].endswith(":")]
    return [*lead, *own] if unit.kind == "list" and _STEP.match(unit.lines[0]) else lead


class _Piece(NamedTuple):
    block: int
    kind: str
    span: Span
    lines: tuple[str, ...]
    text: str

    @property
    def shown(self) -> str:
        return "\n".join(self.lines)


def _pieces(text: str, terms: Terms) -> Iterator[_Piece]:
    for number, block in enumerate(blocks(text)):
        whole = text[slice(*block.span)]
        cut = [(span, text[slice(*span)]) for span in parts(text, block)]
        cut = [(span, words) for span, words in cut if not gives_orders(words)]
        lines = tuple(plain(words) for _, words in cut)
        if block.kind == "table":
            yield _Piece(number, "table", block.span, (_table(text, block, terms),), whole)
        elif block.kind == "code" and cut:
            yield _Piece(number, "code", cut[0][0], (whole,), whole)
        elif block.kind == "list" and cut and _are_steps(lines):
            span = Span(cut[0][0].start, cut[-1][0].end)
            yield _Piece(number, "steps", span, lines, text[slice(*span)])
        else:
            for (span, words), line in zip(cut, lines, strict=True):
                yield _Piece(number, block.kind, span, (line,), words)


def _are_steps(lines: Sequence[str]) -> bool:
    few = sum(len(line.split()) for line in lines) <= STEPS_WORDS
    return few and len(lines) > 1 and all(_STEP.match(line) for line in lines)


def _table(text: str, block: Block, terms: Terms) -> str:
    """A small table whole, else its header and the rows that match."""
    rows = [plain(text[slice(*row)]) for row in items(text, block.span)]
    head, body = rows[:HEADER_ROWS], rows[HEADER_ROWS:]
    if len(body) > MAX_ROWS:
        ranked = sorted(range(len(body)), key=lambda i: -terms.weight(terms.of(body[i])))
        body = [body[i] for i in sorted(ranked[:MAX_ROWS])]
    return "\n".join([*head, *body])


def _quote(group: Sequence[Unit], text: str) -> str:
    """The literal span. A later piece of a split table opens with a repeated header, which does not
    stand there in the document: it is left out."""
    first = group[0]
    start = first.span.start
    rows = items(text, first.span)
    if first.kind == "table" and start == 0 and len(rows) > HEADER_ROWS:
        start = rows[HEADER_ROWS].start
    return text[start : group[-1].span.end]


def _show(group: Sequence[Unit]) -> str:
    """Reply Markdown: a mark after each sentence, item, table and code block."""
    shown = ""
    previous: Unit | None = None
    for unit in group:
        same = previous is not None and previous.block == unit.block
        shown += "\n\n" if not same else " " if unit.kind == "paragraph" else "\n"
        shown += "\n".join(_marked(line, unit) for line in unit.lines)
        previous = unit
    return shown.strip()


def _marked(line: str, unit: Unit) -> str:
    if unit.kind in ("table", "code"):
        return f"{line}\n\n[{unit.mark}]"
    return line if unit.kind == "paragraph" and line.endswith(":") else f"{line} [{unit.mark}]"
