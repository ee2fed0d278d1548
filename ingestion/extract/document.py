"""What extraction gives: a title, sections in reading order, and what front matter says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import orjson

from ingestion.extract.metadata import Metadata
from twofold.index.contract import content_hash
from twofold.text.languages import ENGLISH, base, is_latin, language_of

BlockKind = Literal["paragraph", "list", "table", "code", "quote"]
_BETWEEN = "\n\n"
OPENING = 20
"""Sections that a document's language is read off."""


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
        """Returns the row's form, in `Version.sections`."""
        blocks = [[block.kind, len(block.text)] for block in self.blocks]
        return {
            "heading_path": list(self.heading_path),
            "text": self.text,
            "line": self.line,
            "blocks": blocks,
        }

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> "Section":
        """Returns what `record` was made of."""
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
    skipped: str = ""
    """Why nobody is told of it, though nothing is wrong with it: a draft, a redirect."""
    hidden: bool = False
    """Whether that is because the document shuts readers out."""
    named: bool = True
    """Whether the document itself gives its title."""

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
    """A format's own result, before titles are settled. `title` is one the format names; `said` is
    what else it says of the document, under the names of front matter."""

    title: str
    parts: list[Heading | Located]
    said: Mapping[str, Any] = MappingProxyType({})


def settle(parsed: Parsed, meta: Metadata, fallback: str) -> Extracted:
    """Settles the title (front matter, first H1, the format's, `fallback`) and the language, and
    forms the sections."""
    first = next((part.text for part in _headings(parsed.parts) if part.level == 1), "")
    own = meta.title or first or parsed.title
    title = " ".join((own or fallback).split())[:300]
    sections = tuple(_sections(parsed.parts, title))
    meta = replace(meta, locale=_locale(meta.locale, title, sections))
    return Extracted(title, sections, meta, named=bool(own))


def _locale(said: str, title: str, sections: Sequence[Section]) -> str:
    """Returns the language that the page says it has, unless its very letters are those of
    another one: templates call everything English."""
    opening = "\n".join((title, *(section.text for section in sections[:OPENING])))
    shown = language_of(opening, (said or ENGLISH,))
    other_script = shown and base(shown) != base(said) and not is_latin(shown)
    return shown if other_script else said or shown or ENGLISH


def _headings(parts: list[Heading | Located]) -> Iterator[Heading]:
    return (part for part in parts if isinstance(part, Heading))


def _sections(parts: list[Heading | Located], title: str) -> Iterator[Section]:
    path: list[Heading] = []
    blocks: list[Located] = []
    for part in parts:
        if isinstance(part, Located):
            blocks.append(part)
            continue
        yield from _section(path, blocks, title, alone=bool(path) and part.level <= path[-1].level)
        blocks = []
        path = [heading for heading in path if heading.level < part.level] + [part]
    yield from _section(path, blocks, title, alone=True)


def _section(
    path: list[Heading], blocks: list[Located], title: str, *, alone: bool
) -> Iterator[Section]:
    """Yields the section of a heading. `alone`: nothing stands below the last heading, which is
    then text itself."""
    if not blocks:
        if not alone or not path or not path[-1].text or path[-1].text == title:
            return
        *path, last = path
        blocks = [Located(Block("paragraph", f"**{last.text}**"), last.line)]
    # The title opens every embedded text already.
    names = tuple(h.text for h in path if h.text and (h.level > 1 or h.text != title))
    line = path[-1].line if path else blocks[0].line
    yield Section(names, tuple(located.block for located in blocks), line)
