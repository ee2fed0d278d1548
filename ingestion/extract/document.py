"""What extraction gives: a title, sections in reading order, and what front matter says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import orjson

from ingestion.extract.front_matter import Metadata
from twofold.index import content_hash

BlockKind = Literal["paragraph", "list", "table", "code", "quote"]
_BETWEEN = "\n\n"


class Block(NamedTuple):
    """A piece of Markdown that stands alone: a paragraph, a whole list, table or code block."""

    kind: BlockKind
    text: str


class Heading(NamedTuple):
    level: int
    text: str
    line: int


class Section(NamedTuple):
    """What stands between two headings. `line` is where it starts in the file, from 1."""

    heading_path: tuple[str, ...]
    blocks: tuple[Block, ...]
    line: int

    @property
    def text(self) -> str:
        return _BETWEEN.join(block.text for block in self.blocks)

    def record(self) -> dict[str, Any]:
        """The row's form, in `Version.sections`."""
        blocks = [[block.kind, len(block.text)] for block in self.blocks]
        return {
            "heading_path": list(self.heading_path),
            "text": self.text,
            "line": self.line,
            "blocks": blocks,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Section":
        """What `record` was made of."""
        blocks, start = [], 0
        for kind, length in record["blocks"]:
            blocks.append(Block(kind, record["text"][start : start + length]))
            start += length + len(_BETWEEN)
        return cls(tuple(record["heading_path"]), tuple(blocks), record["line"])


@dataclass(frozen=True)
class Extracted:
    """A document's text and metadata. The title never stands in a heading path."""

    title: str
    sections: tuple[Section, ...]
    meta: Metadata

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return [section.record() for section in self.sections]

    @cached_property
    def content_hash(self) -> str:
        """Hex SHA-256 of all a reader could notice: what makes a new version new."""
        texts = [[record["heading_path"], record["text"]] for record in self.records]
        return content_hash(self.title, orjson.dumps(texts).decode(), self.meta.canonical())


class Located(NamedTuple):
    """A block and the line of the file where it starts, from 1."""

    block: Block
    line: int


class Parsed(NamedTuple):
    """A format's own result, before titles are settled. `title` is one the format names."""

    title: str
    parts: list[Heading | Located]


def settle(parsed: Parsed, meta: Metadata, fallback: str) -> Extracted:
    """Settle the title (front matter, first H1, the format's, `fallback`) and form sections."""
    first = next((part.text for part in _headings(parsed.parts) if part.level == 1), "")
    title = " ".join((meta.title or first or parsed.title or fallback).split())[:300]
    return Extracted(title, tuple(_sections(parsed.parts, title)), meta)


def _headings(parts: list[Heading | Located]) -> Iterator[Heading]:
    return (part for part in parts if isinstance(part, Heading))


def _sections(parts: list[Heading | Located], title: str) -> Iterator[Section]:
    path: list[Heading] = []
    blocks: list[Located] = []
    for part in parts:
        if isinstance(part, Located):
            blocks.append(part)
            continue
        yield from _section(path, blocks, title)
        blocks = []
        path = [heading for heading in path if heading.level < part.level] + [part]
    yield from _section(path, blocks, title)


def _section(path: list[Heading], blocks: list[Located], title: str) -> Iterator[Section]:
    if not blocks:
        return
    # The title opens every embedded text already.
    names = tuple(h.text for h in path if h.text and (h.level > 1 or h.text != title))
    line = path[-1].line if path else blocks[0].line
    yield Section(names, tuple(located.block for located in blocks), line)
