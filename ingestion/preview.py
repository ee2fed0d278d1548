"""What the index would hold of a file, or holds of a document: for whoever writes help pages."""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ingestion.extract import Extracted, Metadata, Section, extract
from ingestion.sources import MEDIA_TYPES, Fetched, not_read
from ingestion.sync.errors import reason
from ingestion.sync.split import Budget, ChunkText, TokenCounter, split
from ingestion.sync.status import DocumentStatus
from twofold.clients import e5, minilm
from twofold.errors import SetupError, TwofoldError
from twofold.index.contract import BEGINNING, FOREVER, PUBLIC
from twofold.settings import Settings
from twofold.stack import reads_all_languages
from twofold.zone import house_zone

CHARS_PER_TOKEN = 4
"""Where no tokenizer is installed: close enough to see where a page is cut."""


class Preview(NamedTuple):
    """What was read of one file. `text` is all of it, as Markdown; times are ISO 8601."""

    file: str
    title: str = ""
    kind: str = ""
    audience: Sequence[str] = ()
    locale: str = ""
    effective_from: str | None = None
    expires_at: str | None = None
    visible: bool = False
    """To the public, today."""
    text: str = ""
    chunks: Sequence[str] = ()
    skipped: str | None = None
    """Why the index leaves it out, where nothing is wrong with it."""
    error: str | None = None
    notes: Sequence[str] = ()
    """What nobody could tell for sure when it was read."""

    def record(self) -> dict[str, Any]:
        """Returns the values for JSON, with `notes` where there are some."""
        return {name: value for name, value in self._asdict().items() if name != "notes" or value}


def preview(settings: Settings, paths: Sequence[Path]) -> list[Preview]:
    """Returns a preview of each file, in order; of a folder those of its files. Never raises for
    a file."""
    tokens, budget = _cutting(settings)
    zone = house_zone(settings.house_file)
    files = [file for path in paths for file in (_below(path) if path.is_dir() else [path])]
    return [_seen(file, tokens, budget, zone) for file in files]


def moments(
    effective_from: float | None, expires_at: float | None, zone: tzinfo
) -> tuple[str | None, str | None]:
    """Returns a window as people write it: an end at midnight is the last second of the day
    before."""
    opens = None if effective_from is None else datetime.fromtimestamp(effective_from, zone)
    ends = None if expires_at is None else datetime.fromtimestamp(expires_at, zone)
    if ends is not None and (ends.hour, ends.minute, ends.second) == (0, 0, 0):
        ends -= timedelta(seconds=1)
    return (
        None if opens is None else opens.isoformat(),
        None if ends is None else ends.isoformat(),
    )


def open_to_all(
    audience: Sequence[str], effective_from: float | None, expires_at: float | None
) -> bool:
    """Returns whether the public may read it now."""
    now = time.time()
    begun = effective_from is None or effective_from <= now
    return PUBLIC in audience and begun and (expires_at is None or now < expires_at)


def held(settings: Settings, document: DocumentStatus) -> Preview:
    """Returns what the index holds of a document: its live version."""
    live = next((version for version in document.versions if version.live), None)
    if live is None:
        return Preview(document.document, skipped="It is removed: nothing of it answers.")
    sections = [Section.of_record(each) for each in live.sections]
    window = (
        None if live.applied_from <= BEGINNING else live.applied_from,
        None if live.applied_until >= FOREVER else live.applied_until,
    )
    extracted = Extracted(live.title, tuple(sections), Metadata())
    tokens, budget = _cutting(settings)
    pieces = split(live.title, extracted.sections, budget, tokens)
    return Preview(
        document.document,
        live.title,
        live.kind,
        live.audience,
        live.locale,
        *moments(*window, ZoneInfo(house_zone(settings.house_file))),
        open_to_all(live.audience, *window),
        as_markdown(live.title, sections),
        [embedded_text(live.title, piece) for piece in pieces],
    )


def told(seen: Preview) -> str:
    """Returns the preview as text for people."""
    head = f"file: {seen.file}"
    if seen.error is not None:
        return f"{head}\nerror: {seen.error}"
    if seen.skipped is not None:
        head += f"\nskipped: {seen.skipped}"
        if not seen.text:
            return head
    opens, ends = seen.effective_from or "the beginning", seen.expires_at or "further notice"
    lines = [
        head,
        f"title: {seen.title}",
        f"kind: {seen.kind}, in {seen.locale}, for {', '.join(seen.audience)}",
        f"from {opens} until {ends}",
        f"told to the public today: {'yes' if seen.visible else 'no'}",
        *(f"note: {note}" for note in seen.notes),
        "",
        seen.text,
    ]
    for number, chunk in enumerate(seen.chunks, start=1):
        lines += ["", f"--- chunk {number} of {len(seen.chunks)}", chunk]
    return "\n".join(lines)


def as_markdown(title: str, sections: Sequence[Section]) -> str:
    """Returns a document's text with its headings."""
    parts = [f"# {title}"] if title else []
    before: tuple[str, ...] = ()
    for section in sections:
        path = section.heading_path
        same = 0
        while same < min(len(path), len(before)) and path[same] == before[same]:
            same += 1
        parts += [f"{'#' * min(at + 2, 6)} {path[at]}" for at in range(same, len(path))]
        parts.append(section.text)
        before = path
    return "\n\n".join(parts)


def embedded_text(title: str, piece: ChunkText) -> str:
    """Returns a chunk as search sees it: its headings in one line, then its text."""
    return f"{' > '.join((title, *piece.heading_path))}\n{piece.text}"


def _seen(path: Path, tokens: TokenCounter, budget: Budget, zone: str) -> Preview:
    media_type = MEDIA_TYPES.get(path.suffix.lstrip(".").lower())
    if media_type is None:
        return Preview(str(path), skipped=not_read(path.name))
    try:
        extracted = extract(path.name, Fetched(path.read_bytes(), media_type), zone=zone)
        return _read(str(path), extracted, tokens, budget, ZoneInfo(zone))
    except (TwofoldError, OSError) as error:
        return Preview(str(path), error=reason(error))


def _read(
    file: str, extracted: Extracted, tokens: TokenCounter, budget: Budget, zone: ZoneInfo
) -> Preview:
    meta = extracted.meta
    sections = () if extracted.skipped else extracted.sections
    pieces = split(extracted.title, sections, budget, tokens)
    window = meta.effective_from, meta.expires_at
    opens, ends = moments(*window, zone)
    return Preview(
        file,
        extracted.title,
        meta.kind,
        list(meta.audience),
        meta.locale,
        opens,
        ends,
        not extracted.skipped and open_to_all(meta.audience, *window),
        as_markdown(extracted.title if extracted.named else "", extracted.sections),
        [embedded_text(extracted.title, piece) for piece in pieces],
        extracted.skipped or None,
        notes=meta.extra.get("reading_notes", ()),
    )


def _cutting(settings: Settings) -> tuple[TokenCounter, Budget]:
    """Returns how the index in use cuts, as far as the packaged model's tokenizer is installed."""
    count: Callable[[Sequence[str]], list[int]]
    most = minilm.MAX_TOKENS
    try:
        if reads_all_languages(settings):
            most, count = e5.MAX_TOKENS, e5.E5Tokenizer(e5.Weights.open()).count
        else:
            count = partial(minilm.count_tokens, minilm.tokenizer())
    except SetupError:
        count = _roughly
    return TokenCounter(count), Budget(settings.chunk_tokens, most)


def _roughly(texts: Sequence[str]) -> list[int]:
    return [len(text) // CHARS_PER_TOKEN + 1 for text in texts]


def _below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
