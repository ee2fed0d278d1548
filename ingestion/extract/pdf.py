"""PDF to blocks: headings by the size of their type, paragraphs and lists by their spacing.

Runs in the confined process only: what it reads may have been made to harm.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from pypdf import PdfReader
from pypdf.errors import PdfReadError

from ingestion.extract.characters import in_one_line
from ingestion.extract.document import Block, Heading, Located, Parsed
from twofold.counted import counted
from twofold.errors import InvalidInput

MAX_PAGES = 2000
_HEADING = 1.15
"""A line this much larger than the body's type opens a section."""
_LONGEST_HEADING = 200
_GAP = 1.7
"""Lines further apart than this many type sizes belong to two paragraphs."""
_REPEATED = 0.6
"""A line on so many of the pages is a header or a footer."""
_MARGIN = 0.09
"""Headers and footers stand in so much of a page's height."""
_GUTTER, _COLUMN_ROWS, _COLUMN_CHARS = 120.0, 5, 20
"""Columns of text begin so many points apart, over so many rows, with so long lines."""
_CELL_CHARS = 10
"""Shorter ones are cells of a table; between the two nobody can tell."""
UNSURE = (
    "Page {page} may be a table or two columns, and is read row by row. If its sentences are mixed,"
    " save it in one column."
)
_NUMBER = re.compile(r"\d{1,9}")
_BULLET = re.compile(r"[•◦▪‣–·*-]\s+(?=\S)|(?=\(?\d{1,3}[.)]\s)")
_MARK = re.compile(r"[•◦▪‣–·*-]\s+")


class PdfLine(NamedTuple):
    """A line of text. `size` is in points; `y` grows upwards; `height` is the page's.

    `cells` are its pieces with where each begins, in points from the left.
    """

    text: str
    size: float
    y: float
    page: int
    height: float
    cells: tuple[tuple[float, str], ...] = ()


def parse_pdf(raw: bytes) -> Parsed:
    """Blocks whose `line` is their page. Raises InvalidInput saying why it cannot be read."""
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidInput("The PDF is encrypted. Save it without a password.")
        pages = list(reader.pages)
        if len(pages) > MAX_PAGES:
            raise InvalidInput(f"The PDF has over {MAX_PAGES} pages. Split it.")
        lines, unsure = [], []
        for at, page in enumerate(pages, 1):
            read, told_apart = _in_columns(list(_lines(page, at)))
            lines += read
            unsure += [] if told_apart else [at]
        named = reader.metadata.title if reader.metadata else None
    except InvalidInput:
        raise
    except (RecursionError, MemoryError):
        raise
    except ImportError as error:
        raise InvalidInput("The PDF is encrypted. Save it without a password.") from error
    except (PdfReadError, Exception) as error:
        raise InvalidInput(
            f"The PDF is damaged ({type(error).__name__}). Save it again with another program."
        ) from error
    if not lines:
        raise InvalidInput(
            f"The PDF holds no text on its {counted(len(pages), 'page')}, only images."
            " Run text recognition (OCR) on it first."
        )
    lines = _without_repeated(lines, len(pages))
    title = named.strip() if isinstance(named, str) else ""
    notes = [UNSURE.format(page=page) for page in unsure]
    return Parsed(title, list(_parts(lines)), {"reading_notes": notes} if notes else {})


def _lines(page: Any, number: int) -> Iterator[PdfLine]:
    """Yields the page's lines, put together from its pieces of text."""
    pieces: list[tuple[str, float, float, float]] = []

    def visit(text: str, cm: Any, tm: Any, _font: Any, size: float) -> None:
        if text:
            scale = abs(tm[3] or tm[1] or 1) * abs(cm[3] or 1)
            x, y = tm[4] * (cm[0] or 1) + cm[4], tm[5] * (cm[3] or 1) + cm[5]
            pieces.append((text, round(size * scale, 1), y, x))

    page.extract_text(visitor_text=visit)
    whole = float(page.mediabox.height) or 1.0
    text, size, y = "", 0.0, 0.0
    cells: list[tuple[float, str]] = []
    for piece, points, height, x in [*pieces, ("\n", 0.0, 0.0, 0.0)]:
        parts = piece.split("\n")
        for at, part in enumerate(parts):
            if at:
                if line := in_one_line(text):
                    yield PdfLine(line, size, y, number, whole, tuple(cells))
                text, size, cells = "", 0.0, []
            if part.strip():
                if not text.strip():
                    size, y = points, height
                cells.append((x, part))
            text += part


def _in_columns(lines: list[PdfLine]) -> tuple[list[PdfLine], bool]:
    """Returns the lines of two columns that were set row by row, one column after the other, and
    whether that is sure. Short cells are a table, whose rows belong together."""
    starts = Counter(round(x) for line in lines for x, _ in line.cells[1:])
    if not lines or not starts:
        return lines, True
    left = min(line.cells[0][0] for line in lines if line.cells)
    right, rows = max(starts.items(), key=lambda each: each[1])
    both = [at for at, line in enumerate(lines) if _halves(line, right) is not None]
    if right - left < _GUTTER or rows < _COLUMN_ROWS or len(both) * 2 < len(lines):
        return lines, True
    halves = [half for at in both if (half := _halves(lines[at], right)) is not None]
    shorter = min(sum(map(len, side)) / len(halves) for side in zip(*halves, strict=True))
    if shorter < _COLUMN_CHARS:
        return lines, shorter < _CELL_CHARS
    first, last = both[0], both[-1]
    within = lines[first : last + 1]
    columns: tuple[list[PdfLine], list[PdfLine]] = ([], [])
    for line in within:
        parted = _halves(line, right)
        if parted is None:
            columns[bool(line.cells and line.cells[0][0] >= right - 1)].append(line)
            continue
        for column, text in zip(columns, parted, strict=True):
            column.append(line._replace(text=text, cells=()))
    return [*lines[:first], *columns[0], *columns[1], *lines[last + 1 :]], True


def _halves(line: PdfLine, right: float) -> tuple[str, str] | None:
    """Returns what stands left and right of where the second column begins."""
    sides = ["", ""]
    for x, text in line.cells:
        sides[x >= right - 1] += text
    before, behind = (in_one_line(side) for side in sides)
    begins = any(abs(x - right) <= 1 for x, _ in line.cells[1:])
    return (before, behind) if before and behind and begins else None


def _without_repeated(lines: list[PdfLine], pages: int) -> list[PdfLine]:
    """Returns the lines without running headers and footers: lines in a page's margin that are
    the same on most pages, but for the page's number. Each is kept once."""
    if pages < 3:
        return lines
    groups: dict[tuple[str, int], list[PdfLine]] = {}
    for line in lines:
        if not _MARGIN < line.y / line.height < 1 - _MARGIN:
            groups.setdefault((_shape(line), round(line.y / 4)), []).append(line)
    dropped: set[int] = set()
    for group in groups.values():
        if len({line.page for line in group}) >= pages * _REPEATED and _counts_pages(group):
            same = len({line.text for line in group}) == 1
            tells = same and (re.search(r"\d", group[0].text) or len(group[0].text.split()) > 3)
            dropped.update(id(line) for line in group[1 if tells else 0 :])
    return [line for line in lines if id(line) not in dropped] or lines


def _counts_pages(group: list[PdfLine]) -> bool:
    """Returns whether each number of the line is the same on all pages, or goes up with them."""
    rows = [[int(each) for each in _NUMBER.findall(line.text)] for line in group]
    for column in zip(*rows, strict=True):
        steps = {number - line.page for number, line in zip(column, group, strict=True)}
        if len(set(column)) > 1 and len(steps) > 1:
            return False
    return True


def _shape(line: PdfLine) -> str:
    return _NUMBER.sub("0", line.text)


def _parts(lines: list[PdfLine]) -> Iterator[Heading | Located]:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0]
    larger = sorted({line.size for line in lines if line.size > body * _HEADING}, reverse=True)
    held: list[PdfLine] = []
    for line in lines:
        if line.size in larger and len(line.text) <= _LONGEST_HEADING:
            yield from _block(held)
            held = []
            yield Heading(min(larger.index(line.size) + 1, 6), line.text, line.page)
            continue
        if held and not _continues(held[-1], line):
            yield from _block(held)
            held = []
        held.append(line)
    yield from _block(held)


def _continues(before: PdfLine, line: PdfLine) -> bool:
    if _BULLET.match(line.text) and _BULLET.match(before.text):
        return True
    if line.page != before.page:
        # The sentence goes on on the next page.
        return not before.text.endswith((".", "!", "?", ":", ";"))
    return abs(before.y - line.y) <= _GAP * max(line.size, 1.0)


def _block(lines: list[PdfLine]) -> Iterator[Located]:
    if not lines:
        return
    texts: list[str] = []
    for line in lines:
        if not texts or _BULLET.match(line.text):
            texts.append(line.text)
        elif re.search(r"[^\W\d]-$", texts[-1]) and line.text[:1].islower():
            texts[-1] = texts[-1][:-1] + line.text
        else:
            texts[-1] += " " + line.text
    opening = [text for text in texts if not _BULLET.match(text)]
    items = [text for text in texts if _BULLET.match(text)]
    if opening:
        yield Located(Block("paragraph", "\n".join(opening)), lines[0].page)
    if items:
        marked = "\n".join(_MARK.sub("- ", item, count=1) for item in items)
        yield Located(Block("list", marked), lines[0].page)
