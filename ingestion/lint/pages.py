"""What is linted: pages of a folder as a sync would read them, or of a source from the ledger."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import select

from ingestion.extract import extract
from ingestion.lint.findings import Finding, Place
from ingestion.sources import Folder
from ingestion.sync.errors import reason
from twofold.index.contract import BEGINNING, FOREVER
from twofold.ledger import Ledger
from twofold.ledger.models import Document, Version
from twofold.text import blocks as prose


class PagePart(NamedTuple):
    """A sentence or a list item, the headings it stands under and its line."""

    text: str
    headings: Sequence[str]
    line: int


@dataclass(frozen=True)
class Page:
    """A document. `id` is its external id; times are epoch seconds."""

    id: str
    title: str
    kind: str
    locale: str
    audience: Sequence[str]
    meta: Mapping[str, Any]
    starts: float
    ends: float
    sections: Sequence[Mapping[str, Any]]
    """As `Version.sections` holds them."""
    raw: str = field(default="", repr=False)
    """The file, where it can be read: it alone knows the line of every sentence."""

    @cached_property
    def text(self) -> str:
        return "\n\n".join(section["text"] for section in self.sections)

    @cached_property
    def words(self) -> list[str]:
        return self.text.split()

    @cached_property
    def parts(self) -> list[PagePart]:
        return list(self._parts())

    def applies(self, now: float) -> bool:
        return self.starts <= now < self.ends

    def day(self, key: str) -> date | None:
        """Returns a day that front matter names."""
        try:
            return datetime.fromisoformat(str(self.meta[key])).date()
        except (KeyError, ValueError):
            return None

    def line_of(self, text: str, section_line: int) -> int:
        """Returns the line where a text begins, as far as that can be told."""
        opening = text.split("\n")[0][:60]
        at = self.raw.find(opening, self._offset(section_line)) if opening else -1
        return self.raw.count("\n", 0, at) + 1 if at >= 0 else section_line

    def key_line(self, key: str) -> int:
        """Returns the line of a key of front matter; 1 where that cannot be told."""
        for number, line in enumerate(self.raw.split("\n")[:60], start=1):
            if line.startswith(f"{key}:"):
                return number
        return 1

    def place(self, text: str, line: int = 1) -> Place:
        return Place(self.id, line, text)

    def _offset(self, line: int) -> int:
        at = 0
        for _ in range(line - 1):
            at = self.raw.find("\n", at) + 1
            if at == 0:
                return 0
        return at

    def _parts(self) -> Iterator[PagePart]:
        for section in self.sections:
            text = section["text"]
            for block in prose.blocks(text):
                if block.kind in ("code", "table"):
                    continue
                for span in prose.parts(text, block):
                    said = text[span.start : span.end]
                    line = self.line_of(said, section["line"])
                    yield PagePart(said, section["heading_path"], line)


class ReadPages(NamedTuple):
    pages: list[Page]
    failures: list[Finding]


def read_folder(path: Path, max_file_mb: float) -> ReadPages:
    """Returns every document below a folder, extracted as a sync would."""
    pages: list[Page] = []
    failures: list[Finding] = []
    for item in Folder("lint", path, max_file_mb=max_file_mb).discover():
        try:
            fetched = item.fetch()
            extracted = extract(item.external_id, fetched)
        except Exception as error:
            place = Place(item.external_id, 1, "")
            failures.append(Finding("unreadable", reason(error), [place], "Mend or remove it."))
            continue
        meta = extracted.meta
        starts = BEGINNING if meta.effective_from is None else meta.effective_from
        ends = FOREVER if meta.expires_at is None else meta.expires_at
        raw = fetched.raw.decode(errors="replace").replace("\r\n", "\n")
        pages.append(
            Page(
                item.external_id,
                extracted.title,
                meta.kind,
                meta.locale,
                meta.audience,
                meta.extra,
                starts,
                ends,
                extracted.records,
                raw,
            )
        )
    return ReadPages(pages, failures)


def read_source(
    ledger: Ledger, workspace: str, source: str, config: Mapping[str, Any]
) -> ReadPages:
    """Returns live documents of a source. Lines are exact where its files are still there."""
    root = Path(config["path"]) if "path" in config else None
    pages: list[Page] = []
    with ledger.session() as session:
        rows = session.execute(
            select(Document.external_id, Version)
            .join(Version, (Version.document_id == Document.id) & (Version.number == Document.live))
            .where(Document.workspace == workspace, Document.source == source)
            .where(Version.quarantined.is_(False))
            .order_by(Document.external_id)
        )
        for external_id, row in rows:
            pages.append(
                Page(
                    external_id,
                    row.title,
                    row.kind,
                    row.locale,
                    row.audience,
                    row.meta,
                    row.applied_from,
                    row.applied_until,
                    row.sections,
                    _raw(root, external_id),
                )
            )
    return ReadPages(pages, [])


def today(now: float | None = None) -> date:
    return datetime.fromtimestamp(time.time() if now is None else now, UTC).date()


def _raw(root: Path | None, external_id: str) -> str:
    try:
        return (root / external_id).read_text(encoding="utf-8") if root else ""
    except (OSError, ValueError):
        return ""
