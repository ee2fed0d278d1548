"""Markdown text as blocks and sentences, by offsets, so that every piece stays a literal span."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

BlockKind = Literal["paragraph", "list", "table", "code"]

_FENCE = re.compile(r"^\s*(```|~~~)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+")
STOPS = ".!?…؟।۔。！？"
"""What ends a sentence: Latin, Greek and Cyrillic, Arabic, Hindi and Urdu, Chinese and Japanese."""
_CLOSE = r"[\"'”’»)\]*_`」』）]*+"
_MARKS = r"(?:\s*\[\d{1,2}\])*"
_SENTENCE_END = re.compile(
    rf"(?<=[.!?…؟।۔]){_CLOSE}{_MARKS}\s+(?!\[\d{{1,2}}\])(?=[\"'“‘«„¿¡(\[*_`]*(?P<first>[^\W_]))"
    rf"|(?<=[。！？]){_CLOSE}{_MARKS}\s*+(?!\[\d{{1,2}}\])(?=\S)"
)
"""Chinese and Japanese put no space behind it. Elsewhere a small letter goes on with it, and what
has no small letters begins."""
_THAI = re.compile(r"[\u0e00-\u0eff]")
"""Thai and Lao end no sentence with a stop: where one stands, it shortens a word."""
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|approx|no|nr|st|dr|mr|mrs|inc|z\.\s?B|d\.\s?h|bzw|ca|usw|ggf|inkl)"
    r"|\b[A-Z]|\b\d{1,2})\.$",
    re.IGNORECASE,
)
_LINK = re.compile(r"!?\[([^\[\]]*+)\]\((?:[^()\s]|\([^()]*+\))*+(?:\s++\"[^\"]*+\")?\)")
_QUOTE_MARK = re.compile(r"^[^\S\n]*+>\s?(?:\[!\w+\]\s*|!\[\w+\]\s*)?", re.MULTILINE)


class Span(NamedTuple):
    """`text[start:end]`."""

    start: int
    end: int


class Block(NamedTuple):
    kind: BlockKind
    span: Span


def blocks(text: str) -> list[Block]:
    """Paragraphs, whole lists, tables and fenced code, in order; blank lines belong to none."""
    found: list[Block] = []
    kind: BlockKind | None = None
    start = end = 0
    fenced = False
    for line_start, line in _lines(text):
        line_end = line_start + len(line.rstrip("\n"))
        if fenced:
            end = line_end
            if _FENCE.match(line):
                fenced = False
                found.append(Block("code", Span(start, end)))
                kind = None
            continue
        blank = not line.strip()
        this = _kind_of(line, kind)
        if kind is not None and ((blank and kind != "list") or (not blank and this != kind)):
            found.append(Block(kind, Span(start, end)))
            kind = None
        if blank:
            continue
        if kind is None:
            start, kind = line_start, this
        end = line_end
        fenced = this == "code"
    if kind is not None:
        found.append(Block(kind, Span(start, end)))
    return found


def sentences(text: str, within: Span | None = None) -> list[Span]:
    """Returns sentences of a paragraph, without the white space between them."""
    low, high = within or Span(0, len(text))
    spans: list[Span] = []
    start = low
    for match in _SENTENCE_END.finditer(text, low, high):
        first = match["first"]
        if first is not None and (
            first.islower()
            or _THAI.match(first)
            or _ABBREVIATION.search(text[start : match.start()])
        ):
            continue
        spans.append(Span(start, match.end() - len(_trailing_space(match[0]))))
        start = match.end()
    if text[start:high].strip():
        spans.append(Span(start, high))
    return spans


def items(text: str, within: Span) -> list[Span]:
    """Returns items of a list (or rows of a table), each with its continuation lines."""
    spans: list[Span] = []
    for line_start, line in _lines(text[within.start : within.end]):
        start = within.start + line_start
        end = start + len(line.rstrip())
        if not line.strip():
            continue
        if spans and not _ITEM.match(line) and not line.lstrip().startswith("|"):
            spans[-1] = Span(spans[-1].start, end)
        else:
            spans.append(Span(start, end))
    return spans


def parts(text: str, block: Block) -> list[Span]:
    """Returns the pieces of a block that can be quoted alone: sentences, items, rows, or the
    code between its fences: a fence may be the splitter's, and not stand in the document."""
    if block.kind == "paragraph":
        return sentences(text, block.span)
    if block.kind == "code":
        return [_inside(text, block.span)]
    return items(text, block.span)


def _inside(text: str, code: Span) -> Span:
    lines = [Span(code.start + at, code.start + at + len(line.rstrip("\n")))
             for at, line in _lines(text[code.start : code.end])]  # fmt: skip
    first, last = (_FENCE.match(text[span.start : span.end]) for span in (lines[0], lines[-1]))
    inner = lines[1 if first else 0 : -1 if last and len(lines) > 1 else None]
    return Span(inner[0].start, inner[-1].end) if inner else code


def plain(text: str) -> str:
    """Returns the text for showing: links and images as their words, no quote marks of
    admonitions."""
    return _QUOTE_MARK.sub("", _LINK.sub(r"\1", text)).strip()


def squeeze(text: str) -> str:
    """Returns the text with white space folded: how a quote is compared with its document."""
    return " ".join(text.split())


def _kind_of(line: str, current: BlockKind | None) -> BlockKind:
    if _FENCE.match(line):
        return "code"
    if line.lstrip().startswith("|"):
        return "table"
    if _ITEM.match(line) or (current == "list" and line[:1] in " \t"):
        return "list"
    return "paragraph"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    position = 0
    for line in text.splitlines(keepends=True):
        yield position, line
        position += len(line)


def _trailing_space(text: str) -> str:
    return text[len(text.rstrip()) :]
