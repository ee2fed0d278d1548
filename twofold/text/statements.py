"""A reply cut into what it states: sentences, items, and whole tables and blocks of code.

A statement is cut alike from a whole text and from one that is still being written.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from twofold.reply import marks, strip_marks
from twofold.text.blocks import STOPS, BlockKind, Span, blocks, parts

_ANSWER = re.compile(
    r"\W{0,9}(?:yes|no|yeah|sure|ja|nein|correct|right|exactly)\W{0,9}", re.IGNORECASE
)
"""Says nothing by itself, and all of it with the sentence behind it."""
_STOP = re.compile(rf"[{STOPS}\n]")
_LETTER = re.compile(r"[^\W\d_]")
"""Behind a stop, marks, quotes and ordinals may belong to either side: a letter tells."""
_ENDING = re.compile(rf"[{STOPS}\n][\W\d_]*\Z")
_OPENING = re.compile(r"[\s\"'“‘(*_`~|>#-]*(?:\[\d{0,2}\]?\s*)*(?:\d{1,3}[.)]?)?")
"""What may still turn out to belong to the statement before it, a list, a table or a fence."""


class Statement(NamedTuple):
    """A piece of a reply."""

    text: str
    """As it stands, with its marks."""
    lead: str
    """White space or line break that stood before it."""
    kind: BlockKind

    @property
    def whole(self) -> bool:
        """Whether it is a table or code, judged line by line; the mark of the line that follows
        covers it."""
        return self.kind in ("table", "code")

    @property
    def marks(self) -> tuple[int, ...]:
        return () if self.kind == "code" else tuple(marks(self.text))

    @property
    def bare(self) -> str:
        """The text without its marks."""
        return self.text if self.kind == "code" else strip_marks(self.text)


def statements(text: str) -> Iterator[Statement]:
    """Yields the statements of a text; joined again, leads and texts are the text."""
    end = 0
    for block in blocks(text):
        gap = text[end : block.span.start]
        whole = block.kind in ("table", "code")
        spans = [block.span] if whole else _joined(text, parts(text, block))
        for i, span in enumerate(spans):
            lead = gap if i == 0 else text[spans[i - 1].end : span.start]
            yield Statement(text[span.start : span.end], lead, block.kind)
            end = span.end  # its block may end with white space that is not its own


def _joined(text: str, spans: list[Span]) -> list[Span]:
    """Returns sentences, a bare answer ("Yes.") with the one that it opens."""
    found: list[Span] = []
    for span in spans:
        opened = found and _ANSWER.fullmatch(text, *found[-1])
        if opened:
            found[-1] = Span(found[-1].start, span.end)
        else:
            found.append(span)
    return found


class StatementStream:
    """Statements of a text that is still being written, each once nothing can change it."""

    def __init__(self) -> None:
        self._tail = ""
        self._ends = False

    def ripe(self, piece: str) -> bool:
        """Returns whether what comes with `piece` may complete a statement. Asked of every
        token: cheap."""
        if not self._ends:
            stop = _STOP.search(piece)
            if stop is None:
                return False
            self._ends = True
            piece = piece[stop.end() :]
        return _LETTER.search(piece) is not None

    def feed(self, text: str) -> list[Statement]:
        """Returns what is whole now. `text` is one piece or many; `ripe` may have been asked of
        them."""
        self._tail += text
        if not self.ripe(text):
            return []
        *whole, last = self._read()
        if whole and _OPENING.fullmatch(last.text):
            whole.pop()
        self._tail = self._tail[sum(len(s.lead) + len(s.text) for s in whole) :]
        self._ends = _ENDING.search(self._tail) is not None
        return whole

    def finish(self, *, cut: bool = False) -> list[Statement]:
        """Returns the rest; without its last statement where the text was `cut` off."""
        rest = self._read()
        self._tail = ""
        return rest[:-1] if cut else rest

    def _read(self) -> list[Statement]:
        # The tail may begin within a line: the space there is no indentation.
        text = self._tail.lstrip(" ")
        space = self._tail[: len(self._tail) - len(text)]
        first, *rest = list(statements(text)) or [Statement("", "", "paragraph")]
        return [first._replace(lead=space + first.lead), *rest]
