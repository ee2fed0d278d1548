"""Bytes to sections: decode, read front matter, parse by media type, settle the title."""

import codecs
from dataclasses import replace
from pathlib import PurePosixPath

from ingestion.extract.confined import MEDIA_TYPES as CONFINED
from ingestion.extract.confined import parse_confined
from ingestion.extract.document import Block, Extracted, Heading, Located, Parsed, Section, settle
from ingestion.extract.front_matter import FrontMatter, Metadata, read_front_matter, read_metadata
from ingestion.extract.html import parse_html
from ingestion.extract.markdown import parse_markdown
from ingestion.sources.base import Fetched
from twofold.errors import InvalidInput

__all__ = ["Block", "Extracted", "Metadata", "Section", "decode", "extract"]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def extract(external_id: str, fetched: Fetched) -> Extracted:
    """Title, sections and metadata of a document.

    Raises InvalidInput saying what is wrong with it and what to do.
    """
    if fetched.media_type in CONFINED:
        return _paged(external_id, fetched)
    text = decode(fetched.raw)
    plain = fetched.media_type == "text/plain"
    front = FrontMatter({}, text, 0) if plain else read_front_matter(text)
    meta = read_metadata({**fetched.meta, **front.values})
    extracted = settle(_parse(fetched.media_type, front), meta, readable(external_id))
    if not extracted.sections:
        raise InvalidInput("It holds no text. Write some, or remove the file.")
    return extracted


def _paged(external_id: str, fetched: Fetched) -> Extracted:
    """A PDF or DOCX. Of a PDF, `line` is the page; `section_pages` keeps them with the version."""
    parsed = parse_confined(fetched.media_type, fetched.raw)
    extracted = settle(parsed, read_metadata(fetched.meta), readable(external_id))
    if not extracted.sections:
        raise InvalidInput("It holds no text. Write some, or remove the file.")
    if CONFINED[fetched.media_type] != "pdf":
        return extracted
    pages = [section.line for section in extracted.sections]
    extra = {**extracted.meta.extra, "section_pages": pages}
    return replace(extracted, meta=replace(extracted.meta, extra=extra))


def decode(raw: bytes) -> str:
    """Text of a file: UTF-8, or UTF-16 with a byte order mark; line ends are made \\n."""
    if raw.startswith(_UTF16):
        coding, name = "utf-16", "UTF-16"
    else:
        coding, name = "utf-8-sig", "UTF-8"
        if (nul := raw.find(b"\0")) >= 0:
            raise InvalidInput(
                f"It is a binary file (NUL at byte {nul}), not text. Remove or rename it."
            )
    try:
        text = raw.decode(coding)
    except UnicodeDecodeError as error:
        # The decoder does not count the three bytes of a mark that it skips.
        offset = error.start + (3 if raw.startswith(codecs.BOM_UTF8) else 0)
        raise InvalidInput(
            f"It is not valid {name} at byte {offset}. Convert the file to UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def readable(external_id: str) -> str:
    """A title from a path: `billing/change-your_plan.md` becomes `Change your plan`."""
    path = PurePosixPath(external_id)
    stem = path.stem
    if stem.lower() in ("index", "readme") and path.parent.name:
        stem = path.parent.name
    words = " ".join(stem.replace("-", " ").replace("_", " ").split())
    return words[:1].upper() + words[1:] or external_id


def _parse(media_type: str, front: FrontMatter) -> Parsed:
    if media_type == "text/html":
        return parse_html(front.body, skipped=front.lines)
    if media_type == "text/plain":
        return Parsed("", list(_paragraphs(front.body)))
    if media_type in ("text/markdown", "text/mdx"):
        mdx = media_type == "text/mdx"
        return parse_markdown(front.body, mdx=mdx, skipped=front.lines)
    raise InvalidInput(
        f"Its type {media_type!r} cannot be read. Types that can:"
        " text/markdown, text/mdx, text/html, text/plain, application/pdf, DOCX."
    )


def _paragraphs(text: str) -> list[Heading | Located]:
    found: list[Heading | Located] = []
    held: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        if line.strip():
            held.append(line.rstrip())
        elif held:
            found.append(Located(Block("paragraph", "\n".join(held)), number - len(held)))
            held = []
    return found
