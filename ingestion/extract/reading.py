"""Bytes to sections: decode, read front matter, parse by media type, settle title and readers.

Runs in the confined process only: what it reads may have been made to harm.
"""

import codecs
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from ingestion.extract.characters import seen
from ingestion.extract.data_pages import text_of
from ingestion.extract.document import Block, Extracted, Heading, Located, Parsed, settle
from ingestion.extract.faq import entries
from ingestion.extract.front_matter import FrontMatter, read_front_matter
from ingestion.extract.html import parse_html
from ingestion.extract.markdown import parse_markdown
from ingestion.extract.metadata import read_metadata
from ingestion.extract.visibility import INTERNAL, normal, readers
from twofold.errors import InvalidInput
from twofold.index.contract import PUBLIC

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_TEXTS = ("text/markdown", "text/mdx", "text/html", "text/plain", "text/x-rst")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_CHARSET = re.compile(
    rb"""<meta[^<>]{1,300}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w.:-]{1,40})"""
    rb"""|<\?xml[^<>]{1,100}?encoding\s{0,9}=\s{0,9}["']([\w.:-]{1,40})""",
    re.IGNORECASE,
)
_WEB_NAMES = {"iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030"}
"""Code pages as browsers read them, by the name that Python gives them."""
_BARRED = frozenset(("utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode", "mbcs"))
_REDIRECTS = frozenset(("redirectto", "redirect", "redirecturl", "permanentredirect"))
_REDIRECT_WORDS = 40
"""A page that leads on and says no more than this only leads on."""
_EXPORT_ID = re.compile(r"[\s_-][0-9a-f]{32}\Z")
"""What Notion puts behind the name of every page that it exports."""
_NO_LIMITS = frozenset(("title", "kind", "product", "url", "locale", "lang", "updatedat"))
_LANGUAGES = frozenset(("locale", "lang", "language"))


def answer(asked: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """Returns what `read` makes of a document, as JSON values."""
    extracted = read(
        asked["external_id"],
        asked["media_type"],
        raw,
        asked["meta"],
        zone=asked["zone"],
        trusted=asked["trusted"],
    )
    return {
        "title": extracted.title,
        "named": extracted.named,
        "skipped": extracted.skipped,
        "hidden": extracted.hidden,
        "meta": extracted.meta.__dict__,
        "sections": extracted.records,
    }


def read(
    external_id: str,
    media_type: str,
    raw: bytes,
    meta: Mapping[str, Any],
    *,
    zone: str = "UTC",
    trusted: bool = True,
) -> Extracted:
    """Returns title, sections and metadata of a document.

    `meta` is what its source says, under the names of front matter; the document's own wins where
    it is `trusted`, and may only keep readers out where it is not. Raises InvalidInput saying what
    is wrong with it and what to do.
    """
    if media_type in (PDF, DOCX):
        return _paged(external_id, media_type, raw, meta, zone)
    text = decode(raw, html=media_type == "text/html")
    front = read_front_matter(text)
    parsed = _parse(media_type, front)
    extracted = _settled(external_id, parsed, meta, front, ZoneInfo(zone), trusted=trusted)
    if extracted.skipped or extracted.sections:
        return extracted
    if not text.strip():
        raise InvalidInput("It holds no text. Write some, or remove the file.")
    return replace(extracted, skipped="It holds no text: only a layout, or scripts.")


def _settled(
    external_id: str,
    parsed: Parsed,
    meta: Mapping[str, Any],
    front: FrontMatter,
    zone: ZoneInfo,
    *,
    trusted: bool,
) -> Extracted:
    """Returns what a document says of itself counts where it is trusted; what of it keeps
    readers out counts always."""
    ours = front.values if trusted else {}
    said = {**meta, **ours}
    about = {**parsed.said, **front.values}
    closing = {
        key: value
        for key, value in about.items()
        if key not in ours and normal(key) not in _NO_LIMITS
    }
    if "lang" in parsed.said and not {normal(key) for key in said} & _LANGUAGES:
        said = {**said, "lang": parsed.said["lang"]}
    try:
        known = read_metadata(said, zone=zone)
        hidden = readers({**closing, **said}).hidden
        limits = read_metadata(closing, zone=zone)
    except InvalidInput as error:
        raise _with_line(error, front.key_lines) from error
    known = replace(
        known,
        audience=_fewer(known.audience, limits.audience),
        effective_from=_later(known.effective_from, limits.effective_from),
        expires_at=_sooner(known.expires_at, limits.expires_at),
    )
    extracted = settle(_with_entries(parsed), known, readable(external_id))
    if hidden:
        return replace(extracted, skipped=f"It is not for the public: {hidden}.", hidden=True)
    target = _redirect(about)
    words = sum(len(section.text.split()) for section in extracted.sections)
    if target and words < _REDIRECT_WORDS:
        return replace(extracted, skipped=f"It only leads on to {target[:200]}.")
    return extracted


def _with_entries(parsed: Parsed) -> Parsed:
    return parsed._replace(parts=entries(parsed.parts))


def _with_line(error: InvalidInput, key_lines: Mapping[str, int]) -> InvalidInput:
    for key, line in key_lines.items():
        if error.message.startswith(f"Front matter: {key} "):
            said = error.message.removeprefix("Front matter: ")
            return InvalidInput(f"Front matter, line {line}: {said}")
    return error


def _fewer(audience: tuple[str, ...], limit: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the audiences that are in both; where none is, our own people alone."""
    if PUBLIC in limit:
        return audience
    if PUBLIC in audience:
        return limit
    return tuple(name for name in audience if name in limit) or (INTERNAL,)


def _later(a: int | None, b: int | None) -> int | None:
    return max((each for each in (a, b) if each is not None), default=None)


def _sooner(a: int | None, b: int | None) -> int | None:
    return min((each for each in (a, b) if each is not None), default=None)


def _redirect(about: Mapping[str, Any]) -> str:
    for key, value in about.items():
        name = normal(key)
        if name in _REDIRECTS and isinstance(value, str | list) and value:
            return str(value if isinstance(value, str) else value[0])
        if name == "layout" and isinstance(value, str) and "redirect" in value:
            return value
    return ""


def _paged(
    external_id: str, media_type: str, raw: bytes, meta: Mapping[str, Any], zone: str
) -> Extracted:
    """Returns a PDF or DOCX. Of a PDF, `line` is the page; `section_pages` keeps them with the
    version."""
    if media_type == PDF:
        from ingestion.extract.pdf import parse_pdf as parse
    else:
        from ingestion.extract.docx import parse_docx as parse
    parsed = _with_entries(parse(raw))
    extracted = settle(parsed, read_metadata(meta, zone=ZoneInfo(zone)), readable(external_id))
    if not extracted.sections:
        raise InvalidInput("It holds no text. Write some, or remove the file.")
    if media_type != PDF:
        return extracted
    pages = [section.line for section in extracted.sections]
    extra = {**extracted.meta.extra, **parsed.said, "section_pages": pages}
    return replace(extracted, meta=replace(extracted.meta, extra=extra))


def decode(raw: bytes, *, html: bool = False) -> str:
    """Returns text of a file: UTF-8, UTF-16 with a byte order mark, or of HTML the code page
    that it declares; line ends are made \\n."""
    if raw.startswith(_UTF16):
        coding, name = "utf-16", "UTF-16"
    else:
        coding, name = "utf-8-sig", "UTF-8"
        if (nul := raw.find(b"\0")) >= 0:
            raise InvalidInput(
                f"It is a binary file (NUL at byte {nul}), not text. Remove or rename it."
            )
        if html and (declared := _declared(raw)):
            coding, name = declared, declared
    try:
        text = raw.decode(coding)
    except UnicodeDecodeError as error:
        # The decoder does not count the three bytes of a byte order mark.
        offset = error.start + (3 if raw.startswith(codecs.BOM_UTF8) else 0)
        raise InvalidInput(
            f"It is not valid {name} at byte {offset}. Convert the file to UTF-8."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _declared(raw: bytes) -> str:
    """Returns the code page that a page names, where it is one, and not UTF-8 after all."""
    named = _CHARSET.search(raw[:4096])
    if named is None:
        return ""
    try:
        raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    else:
        return ""
    try:
        found = codecs.lookup((named[1] or named[2]).decode("ascii")).name
    except (LookupError, UnicodeDecodeError):
        return ""
    if found in _BARRED or found.startswith("utf"):
        return ""
    name = _WEB_NAMES.get(found, found)
    return name if getattr(codecs.lookup(name), "_is_text_encoding", False) else ""


def readable(external_id: str) -> str:
    """Returns a title from a path: `billing/change-your_plan.md` becomes `Change your plan`."""
    path = PurePosixPath(external_id)
    stem = path.stem
    if stem.lower() in ("index", "readme") and path.parent.name:
        stem = path.parent.name
    stem = _EXPORT_ID.sub("", stem) or stem
    words = " ".join(stem.replace("-", " ").replace("_", " ").split())
    return words[:1].upper() + words[1:] or external_id


def _parse(media_type: str, front: FrontMatter) -> Parsed:
    if media_type not in _TEXTS:
        raise InvalidInput(
            f"Its type {media_type!r} cannot be read. Types that can:"
            " text/markdown, text/mdx, text/html, text/plain, text/x-rst, application/pdf, DOCX."
        )
    if media_type == "text/html":
        parsed = parse_html(front.body, skipped=front.lines)
    elif media_type == "text/plain":
        parsed = Parsed("", list(_paragraphs(front.body, front.lines)))
    elif media_type == "text/x-rst":
        from ingestion.extract.rst import parse_rst

        parsed = parse_rst(front.body, skipped=front.lines)
    else:
        mdx = media_type == "text/mdx"
        parsed = parse_markdown(front.body, mdx=mdx, skipped=front.lines, page=front.values)
    data = text_of(front.values, 1, alone=not parsed.parts)
    return parsed._replace(parts=[*parsed.parts, *data])


def _paragraphs(text: str, skipped: int) -> list[Heading | Located]:
    found: list[Heading | Located] = []
    held: list[str] = []
    for number, line in enumerate([*text.split("\n"), ""], start=skipped + 1):
        if line.strip():
            held.append(seen(line).rstrip())
        elif held:
            found.append(Located(Block("paragraph", "\n".join(held)), number - len(held)))
            held = []
    return found
