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

from ingestion.extract.document import Block, Heading, Located, Parsed
from twofold.errors import InvalidInput

MAX_PAGES = 2000
_HEADING = 1.15
"""A line this much larger than the body's type opens a section."""
_LONGEST_HEADING = 200
_GAP = 1.7
"""Lines further apart than this many type sizes belong to two paragraphs."""
_REPEATED = 0.6
"""A line on so many of the pages is a header or a footer."""
_BULLET = re.compile(r"[•◦▪‣–·*-]\s+(?=\S)|(?=\(?\d{1,3}[.)]\s)")
_MARK = re.compile(r"[•◦▪‣–·*-]\s+")


class Line(NamedTuple):
    """A line of text. `size` is in points; `y` grows upwards."""

    text: str
    size: float
    y: float
    page: int


def parse_pdf(raw: bytes) -> Parsed:
    """Blocks whose `line` is their page. Raises InvalidInput saying why it cannot be read."""
    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise InvalidInput("The PDF is encrypted. Save it without a password.")
        pages = list(reader.pages)
        if len(pages) > MAX_PAGES:
            raise InvalidInput(f"The PDF has over {MAX_PAGES} pages. Split it.")
        lines = [line for at, page in enumerate(pages, 1) for line in _lines(page, at)]
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
            f"The PDF holds no text on its {len(pages)} pages, only images. Run text recognition"
            " (OCR) on it first."
        )
    lines = _without_repeated(lines, len(pages))
    title = named.strip() if isinstance(named, str) else ""
    return Parsed(title, list(_parts(lines)))


def _lines(page: Any, number: int) -> Iterator[Line]:
    """Pieces of text put together where they stand on one line."""
    pieces: list[tuple[str, float, float]] = []

    def visit(text: str, cm: Any, tm: Any, _font: Any, size: float) -> None:
        if text:
            scale = abs(tm[3] or tm[1] or 1) * abs(cm[3] or 1)
            pieces.append((text, round(size * scale, 1), tm[5] * (cm[3] or 1) + cm[5]))

    page.extract_text(visitor_text=visit)
    text, size, y = "", 0.0, 0.0
    for piece, points, height in pieces:
        parts = piece.split("\n")
        for at, part in enumerate(parts):
            if at:
                if text.strip():
                    yield Line(" ".join(text.split()), size, y, number)
                text, size = "", 0.0
            if part.strip() and not text.strip():
                size, y = points, height
            text += part
    if text.strip():
        yield Line(" ".join(text.split()), size, y, number)


def _without_repeated(lines: list[Line], pages: int) -> list[Line]:
    if pages < 3:
        return lines
    on = Counter(key for key, _ in {(_shape(line), line.page) for line in lines})
    return [line for line in lines if on[_shape(line)] < pages * _REPEATED] or lines


def _shape(line: Line) -> str:
    return re.sub(r"\d+", "0", line.text)


def _parts(lines: list[Line]) -> Iterator[Heading | Located]:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    body = sizes.most_common(1)[0][0]
    larger = sorted({line.size for line in lines if line.size > body * _HEADING}, reverse=True)
    held: list[Line] = []
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


def _continues(before: Line, line: Line) -> bool:
    if _BULLET.match(line.text) and _BULLET.match(before.text):
        return True
    if line.page != before.page:
        # A sentence that goes on overleaf.
        return not before.text.endswith((".", "!", "?", ":", ";"))
    return abs(before.y - line.y) <= _GAP * max(line.size, 1.0)


def _block(lines: list[Line]) -> Iterator[Located]:
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
