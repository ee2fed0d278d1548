"""Sections to chunk texts: never across a heading, never over the token budget.

Blocks that fit stay whole and small neighbours share a chunk. A table that does not fit is cut
between rows and keeps its header, code between lines and keeps its fences, a list between items, a
paragraph between sentences; what still does not fit is cut between words, and a single word over
the budget between characters. Nothing is rewritten: apart from white space, repeated table headers
and repeated fences, the chunks of a section in order are the section.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from ingestion.extract.document import Block, BlockKind, Section
from twofold.text.blocks import sentences

MIN_ROOM = 32
"""Tokens a chunk's text may always have, however long its heading path is."""
SPECIAL = 2
"""Tokens that a model of BERT's kind puts around a text."""
TINY = 20
"""A last chunk under so many tokens joins the one before where both fit."""

_ITEM = re.compile(r"(?m)^(?=([ \t]*)(?:[-*+]|\d{1,9}[.)])(?:[ \t]|$))")
_FENCE = re.compile(r"\A[ \t]*+(`{3,}|~{3,})")
_DELIMITER_ROW = re.compile(r"\A[ \t]*+\|?[ \t]*+:?-++:?[ \t]*+(?:\|[ \t:|-]*+)?")


class ChunkText(NamedTuple):
    """The text of one chunk and the headings it stands under."""

    heading_path: tuple[str, ...]
    text: str


class TokenCounter:
    """Counts the tokens of texts, special tokens left out; each text once."""

    MAX_KEPT = 50_000

    def __init__(self, count: Callable[[Sequence[str]], list[int]]) -> None:
        self._count = count
        self._known: dict[str, int] = {}

    def warm(self, texts: Iterable[str]) -> None:
        """Counts the tokens of these texts in one batch: a call costs far more than a text."""
        unknown = [text for text in dict.fromkeys(texts) if text not in self._known]
        if not unknown:
            return
        if len(self._known) > self.MAX_KEPT:
            self._known.clear()
        self._known.update(zip(unknown, self._count(unknown), strict=True))

    def __call__(self, text: str) -> int:
        if text not in self._known:
            self.warm([text])
        return self._known[text]


class Budget(NamedTuple):
    """`chunk` tokens of text in a chunk; `whole` tokens of text and headings in an embedding."""

    chunk: int
    whole: int

    def room(self, header: int) -> int:
        return max(MIN_ROOM, min(self.chunk, self.whole - header - SPECIAL))


class _Unit(NamedTuple):
    """What is never cut any further. `glue` joins it to the unit before, in the same chunk.

    `header` opens, and `footer` closes, what a chunk holds of the unit's table or code.
    """

    text: str
    tokens: int
    glue: str
    header: str = ""
    footer: str = ""
    frame_tokens: int = 0
    """Of header and footer together."""


class _Step(NamedTuple):
    cut: Callable[[str, int], list[str]]
    """(text, room in tokens) -> its parts."""
    glue: str


def split(
    title: str, sections: Sequence[Section], budget: Budget, tokens: TokenCounter
) -> list[ChunkText]:
    """Returns the chunk texts of a document in reading order, each of at most `budget.chunk`
    tokens.

    Less where heading path and text together would pass what the embedder reads, but never less
    than MIN_ROOM.
    """
    paths = {s.heading_path: " > ".join((title, *s.heading_path)) for s in sections}
    tokens.warm([*paths.values(), *(block.text for s in sections for block in s.blocks)])
    pieces: list[ChunkText] = []
    for section in sections:
        room = budget.room(tokens(paths[section.heading_path]))
        units = [unit for block in section.blocks for unit in _units(block, room, tokens)]
        pieces += [ChunkText(section.heading_path, text) for text in _pack(units, room)]
    return pieces


def _units(block: Block, room: int, tokens: TokenCounter) -> Iterator[_Unit]:
    framed = _FRAMES.get(block.kind)
    lines = block.text.split("\n")
    if framed and tokens(block.text) > room and (frame := framed(lines)):
        header, inside, footer = frame
        cost = tokens(f"{header}\n{footer}")
        # Repeating more would leave too little for what it frames.
        if cost <= room // 2:
            tokens.warm(inside)
            for at, line in enumerate(inside):
                for unit in _cut(line, "\n" if at else "\n\n", _WORDS, room - cost, tokens):
                    yield unit._replace(header=header, footer=footer, frame_tokens=cost)
            return
    yield from _cut(block.text, "\n\n", _LADDERS[block.kind], room, tokens)


def _cut(
    text: str, glue: str, ladder: tuple[_Step, ...], room: int, tokens: TokenCounter
) -> Iterator[_Unit]:
    count = tokens(text)
    if count <= room or not ladder:
        yield _Unit(text, count, glue)
        return
    step, *finer = ladder
    parts = step.cut(text, room)
    tokens.warm(parts)
    for at, part in enumerate(parts):
        yield from _cut(part, step.glue if at else glue, tuple(finer), room, tokens)


class _Frame(NamedTuple):
    header: str
    inside: list[str]
    footer: str


def _table(lines: list[str]) -> _Frame | None:
    if len(lines) < 3 or not _DELIMITER_ROW.fullmatch(lines[1]):
        return None
    return _Frame("\n".join(lines[:2]), lines[2:], "")


def _code(lines: list[str]) -> _Frame | None:
    opening = _FENCE.match(lines[0])
    if opening is None or len(lines) < 3 or lines[-1].strip() != opening[1]:
        return None
    return _Frame(lines[0], lines[1:-1], lines[-1])


def _pack(units: Sequence[_Unit], room: int) -> Iterator[str]:
    chunks: list[list[_Unit]] = []
    held: list[_Unit] = []
    size = 0
    for unit in units:
        cost = _cost(unit, held[-1] if held else None)
        if held and size + cost > room:
            chunks.append(held)
            held = _lead_in(held, unit, room)
            size = _size(held)
            cost = _cost(unit, held[-1] if held else None)
        held.append(unit)
        size += cost
    chunks.append(held)
    if len(chunks) > 1 and size < TINY and _size(chunks[-2] + held) <= room:
        chunks[-2:] = [chunks[-2] + held]
    return filter(str.strip, map(_text, chunks))


def _pairs(units: Sequence[_Unit]) -> Iterator[tuple[_Unit | None, _Unit]]:
    return zip([None, *units], units, strict=False)


def _opens(unit: _Unit, before: _Unit | None) -> bool:
    return bool(unit.header) and (before is None or before.header is not unit.header)


def _cost(unit: _Unit, before: _Unit | None) -> int:
    return unit.tokens + (unit.frame_tokens if _opens(unit, before) else 0)


def _size(units: Sequence[_Unit]) -> int:
    return sum(_cost(unit, before) for before, unit in _pairs(units))


def _lead_in(full: list[_Unit], unit: _Unit, room: int) -> list[_Unit]:
    """Takes "To do this:" along from the end of a full chunk to what it introduces."""
    last = full[-1]
    follows = unit.glue == "\n\n" and last.text.rstrip("*_ ").endswith(":")
    if follows and len(full) > 1 and not last.header and last.tokens + _cost(unit, None) <= room:
        return [full.pop()]
    return []


def _text(units: Sequence[_Unit]) -> str:
    parts: list[str] = []
    for before, unit in _pairs(units):
        opens = _opens(unit, before)
        if before and before.footer and (opens or not unit.header):
            parts.append("\n" + before.footer)
        parts.append(unit.glue if before else "")
        parts.append(unit.header + "\n" if opens else "")
        parts.append(unit.text)
    if units[-1].footer:
        parts.append("\n" + units[-1].footer)
    return "".join(parts).strip("\n").rstrip()


def _items(text: str, _room: int) -> list[str]:
    """Returns items of a list, each with all that is indented below it."""
    starts = list(_ITEM.finditer(text))
    outer = min((len(start[1].expandtabs(4)) for start in starts), default=0)
    cuts = [s.start() for s in starts if len(s[1].expandtabs(4)) <= outer + 1 and s.start() > 0]
    return _parts(text, cuts)


def _lines(text: str, _room: int) -> list[str]:
    return text.split("\n")


def _sentences(text: str, _room: int) -> list[str]:
    return [line[slice(*span)] for line in text.split("\n") for span in sentences(line)]


def _words(text: str, _room: int) -> list[str]:
    return text.split()


def _characters(text: str, room: int) -> list[str]:
    # A character may cost a byte-level tokenizer four tokens.
    step = max(1, room // 4)
    return [text[at : at + step] for at in range(0, len(text), step)]


def _parts(text: str, cuts: Sequence[int]) -> list[str]:
    ends = [*cuts, len(text)]
    return [text[a:b].rstrip() for a, b in zip([0, *cuts], ends, strict=True)]


_WORDS = (_Step(_words, " "), _Step(_characters, ""))
_LADDERS: dict[BlockKind, tuple[_Step, ...]] = {
    "paragraph": (_Step(_sentences, " "), *_WORDS),
    "quote": (_Step(_lines, "\n"), _Step(_sentences, " "), *_WORDS),
    "list": (_Step(_items, "\n"), _Step(_lines, "\n"), _Step(_sentences, " "), *_WORDS),
    "table": (_Step(_lines, "\n"), *_WORDS),
    "code": (_Step(_lines, "\n"), *_WORDS),
}
"""How each kind of block is cut, coarse to fine."""

_FRAMES: dict[BlockKind, Callable[[list[str]], _Frame | None]] = {"table": _table, "code": _code}
"""What of a block's lines stands in each of its chunks; None where it has no such lines."""
