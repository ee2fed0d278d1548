"""What could be said: the smallest pieces of what is packed, each with the clues that it answers.

A piece is a sentence, an item of a list or a short list, steps (whole, or a sentence of one where
no way to do something is asked for), a row of a table below its head, or a block of code. Every one
is a literal span of its chunk.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from services.answer.contract import Candidate
from twofold.index.contract import Chunk
from twofold.injection import asks_for_secrets, gives_orders
from twofold.reply import escaped
from twofold.text.blocks import Block, Span, blocks, items, parts, plain, sentences
from twofold.text.languages import words_in

STEPS_WORDS: Final = 160
"""A numbered list of no more is said whole or not at all."""
LIST_WORDS: Final = 80
"""Any other list of no more may be said whole."""
ITEM_WORDS: Final = 40
"""An item of more is said by the sentence."""
HEADER_ROWS: Final = 2
READ: Final = 2048
"""Chunks whose pieces are kept as they were read."""

_BULLET = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+")
_STEP = re.compile(r"(\d{1,2})[.)]\s")
_CLAUSE = re.compile(r"^\W{0,2}\d{1,2}(?:\.\d{1,2})+\.?\s+(?=\S)")
"""The number of a policy's clause: nobody asked for it."""
_QUESTION = re.compile("[?？؟]")
_CELL = re.compile(r"(?<!\\)\|")
_ONLY_LINK = re.compile(r"[-*+]\s++\*{0,2}\[[^\[\]]*+\]\([^()\s]*+\)\*{0,2}[.,;]?")
_IMAGE = re.compile(
    r"(?:\A|(?<!\n)\n++)[ \t]*+[\w.-][\w .-]*\.(?:png|jpe?g|gif|svg)[ \t]*+(?=\n|\Z)",
    re.IGNORECASE,
)
"""The name of an image that is not shown."""


class Piece(NamedTuple):
    """A piece of a chunk that can be said alone. `block` and `place` are its places in the
    chunk, `lines` is how it is shown."""

    block: int
    place: int
    kind: str
    """sentence | item | list | steps | step | row | code"""
    span: Span
    lines: tuple[str, ...]
    head: tuple[str, ...] = ()
    """Of a row: the names of the columns."""
    cells: tuple[str, ...] = ()
    link: bool = False
    """Whether it is nothing but links."""

    @property
    def shown(self) -> str:
        return "\n".join(self.lines)

    @property
    def read(self) -> str:
        """As it is understood: a row's cells with the names of their columns."""
        if not self.head:
            return self.shown
        pairs = zip(self.head, self.cells, strict=False)
        return "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs)

    @property
    def counts(self) -> dict[int, tuple[int, int]]:
        """Of steps: their first number and the last one's, by how far they are set in."""
        found: dict[int, tuple[int, int]] = {}
        for line in self.lines:
            if (step := _STEP.match(line.lstrip())) is not None:
                indent, number = len(line) - len(line.lstrip()), int(step[1])
                found[indent] = (found.get(indent, (number,))[0], number)
        return found

    @property
    def words(self) -> int:
        return words_in(re.sub(r"[|:\-\s]+", " ", self.shown))


class CutChunk(NamedTuple):
    """A packed chunk, cut into pieces."""

    candidate: Candidate
    pieces: tuple[Piece, ...]

    @property
    def headed(self) -> list[str]:
        return [headed(self.candidate.chunk, piece) for piece in self.pieces]


def cut(packed: Sequence[Candidate]) -> list[CutChunk]:
    """Returns all pieces that could be said, by chunk."""
    return [CutChunk(each, pieces_of(each.chunk)) for each in packed]


def pieces_of(chunk: Chunk) -> tuple[Piece, ...]:
    return _pieces(chunk.text)


def headed(chunk: Chunk, piece: Piece) -> str:
    """Returns the piece as it is read: below its headings, a line each."""
    return "\n".join(dict.fromkeys((chunk.title, *chunk.heading_path, piece.read)))


def numbered(chunk: Chunk) -> dict[int, Piece]:
    """Returns the lists of numbered items, each whole whatever its length, by block; without those
    that hold a question, or what somebody planted."""
    found = {}
    held = {piece.block for piece in pieces_of(chunk)}
    for number, block in enumerate(blocks(chunk.text)):
        if number not in held or block.kind != "list":
            continue
        cut = _cut(chunk.text, block)
        lines = _indented(chunk.text, cut)
        outer = min(len(line) - len(line.lstrip()) for line in lines)
        said = chunk.text[slice(*block.span)]
        if (
            all(
                _STEP.match(line[outer:]) for line in lines if not line[outer : outer + 1].isspace()
            )
            and not any(map(_QUESTION.search, lines))
            and not (gives_orders(said) or asks_for_secrets(said))
        ):
            place = next(p.place for p in pieces_of(chunk) if p.block == number)
            whole = Span(cut[0][0].start, cut[-1][0].end)
            found[number] = Piece(number, place, "steps", whole, lines)
    return found


@lru_cache(maxsize=READ)
def _pieces(text: str) -> tuple[Piece, ...]:
    return tuple(pieces(text))


def pieces(text: str) -> list[Piece]:
    """Returns all pieces of a chunk that can be said, in order; without those that give the
    assistant orders or ask for a secret: somebody planted these."""
    found: list[Piece] = []
    for number, block in enumerate(blocks(text)):
        for piece in _of(text, number, block):
            said = text[slice(*piece.span)]
            if not (gives_orders(said) or asks_for_secrets(said)):
                found.append(piece._replace(place=len(found)))
    return found


def _of(text: str, number: int, block: Block) -> Iterator[Piece]:
    if block.kind == "table":
        yield from _rows(text, number, block)
        return
    cut = _cut(text, block)
    if block.kind == "code":
        if cut:
            yield Piece(number, 0, "code", cut[0][0], (text[slice(*block.span)],))
    elif block.kind == "paragraph":
        for span, line in cut:
            if line := _CLAUSE.sub("", line):
                yield Piece(number, 0, "sentence", span, (line,))
    else:
        yield from _items(text, number, cut)


def _items(text: str, number: int, cut: Sequence[tuple[Span, str]]) -> Iterator[Piece]:
    """Yields steps as one piece, with what stands below each; of other lists each item, or the
    sentences of a long item, and a short list whole as well."""
    if not cut:
        return
    lines = _indented(text, cut)
    whole = Span(cut[0][0].start, cut[-1][0].end)
    links = [bool(_ONLY_LINK.fullmatch(text[span.start : span.end].strip())) for span, _ in cut]
    if _are_steps(lines):
        yield Piece(number, 0, "steps", whole, lines)
        for span, _ in cut:
            yield from _sentences(text, number, span, "step")
        return
    for first, last in _trees(lines):
        span, own = Span(cut[first][0].start, cut[last - 1][0].end), lines[first:last]
        if last - first > 1 and sum(map(words_in, own)) <= ITEM_WORDS:
            yield Piece(number, 0, "item", span, own, link=all(links[first:last]))
            continue
        for (span, line), link in zip(cut[first:last], links[first:last], strict=True):
            if words_in(line) <= ITEM_WORDS:
                yield Piece(number, 0, "item", span, (line,), link=link)
            else:
                yield from _sentences(text, number, span, "sentence")
    if len(cut) > 1 and sum(map(words_in, lines)) <= LIST_WORDS:
        yield Piece(number, 0, "list", whole, lines, link=all(links))


def _trees(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yields the first and the last (exclusive) line of each item with all that is set in below
    it."""
    outer = min(len(line) - len(line.lstrip()) for line in lines)
    starts = [i for i, line in enumerate(lines) if len(line) - len(line.lstrip()) == outer]
    yield from zip([0, *starts[1:]], [*starts[1:], len(lines)], strict=True)


def _sentences(text: str, number: int, item: Span, kind: str) -> Iterator[Piece]:
    """Yields the sentences of a list's item, without its bullet."""
    for part in sentences(text, item):
        shown = _BULLET.sub("", _shown(text[slice(*part)]))
        if shown.strip("*_ "):
            yield Piece(number, 0, kind, part, (shown,))


def _rows(text: str, number: int, block: Block) -> Iterator[Piece]:
    rows = items(text, block.span)
    shown = [escaped(plain(text[slice(*row)])) for row in rows]
    if len(rows) <= HEADER_ROWS:
        yield Piece(number, 0, "row", block.span, tuple(shown))
        return
    head = cells_of(shown[0])
    for span, row in zip(rows[HEADER_ROWS:], shown[HEADER_ROWS:], strict=True):
        cells = cells_of(row)
        yield Piece(number, 0, "row", span, (*shown[:HEADER_ROWS], row), head, cells)


def cells_of(row: str) -> tuple[str, ...]:
    """Returns the cells of a table's row."""
    return tuple(cell.strip() for cell in _CELL.split(row.strip().strip("|")))


def _are_steps(lines: Sequence[str]) -> bool:
    """Returns whether every item of the list has a number. One that is alone, or has something
    below it, must be short: clauses of a policy look the same."""
    outer = [line for line in lines if not line[:1].isspace()]
    bare = len(outer) == len(lines) > 1
    if not outer or sum(map(words_in, lines)) > STEPS_WORDS or any(map(_QUESTION.search, lines)):
        return False
    short = bare or max(map(words_in, outer)) <= ITEM_WORDS
    return short and all(map(_STEP.match, outer))


def _cut(text: str, block: Block) -> list[tuple[Span, str]]:
    """Returns the parts of a block, and how each is shown."""
    return [(span, _shown(text[slice(*span)])) for span in parts(text, block)]


def _shown(text: str) -> str:
    return escaped(plain(_IMAGE.sub("", text)))


def _indented(text: str, cut: Sequence[tuple[Span, str]]) -> tuple[str, ...]:
    """Returns the items of a list as they are shown, each as far set in as it stands."""
    said = [text[slice(*span)] for span, _ in cut]
    indents = [each[: len(each) - len(each.lstrip(" \t"))] for each in said]
    return tuple(indent + line for indent, (_, line) in zip(indents, cut, strict=True))
