"""DOCX to blocks: mammoth makes HTML by the styles, and that is read as any HTML.

Runs in the confined process only: what it reads may have been made to harm.
"""

import io
import re
import zipfile
from typing import Any
from xml.etree import ElementTree

import mammoth

from ingestion.extract.document import Heading, Located, Parsed
from ingestion.extract.html import parse_html
from twofold.errors import InvalidInput

MAX_UNPACKED = 200_000_000
MAX_PARTS = 5000
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_TEXT_PARTS = re.compile(r"word/(?:document|footnotes|endnotes)\d*\.xml")
_MAY_HIDE = re.compile(rb"vanish|dstrike|moveFrom|moveTo")
_STYLES = """
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p[style-name='Code'] => pre:separator('\\n')
p[style-name='HTML Preformatted'] => pre:separator('\\n')
p[style-name='Quote'] => blockquote > p:fresh
p[style-name='Intense Quote'] => blockquote > p:fresh
r[style-name='Code'] => code
r[style-name='HTML Code'] => code
"""


def parse_docx(raw: bytes) -> Parsed:
    """Raises InvalidInput saying why it cannot be read."""
    _check(raw)
    try:
        made = mammoth.convert_to_html(
            io.BytesIO(_as_shown(raw)),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(_no_image),
        )
    except (RecursionError, MemoryError):
        raise
    except Exception as error:
        raise InvalidInput(
            f"The Word document is damaged ({type(error).__name__}). Open it and save it again."
        ) from error
    parts = parse_html(f"<main>{made.value}</main>").parts
    return Parsed("", [_from_the_start(part) for part in parts])


def _check(raw: bytes) -> None:
    if raw[:4] == b"\xd0\xcf\x11\xe0":
        raise InvalidInput(
            "The Word document is encrypted, or of the old .doc format. Save it as .docx without"
            " a password."
        )
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InvalidInput(
            "The file is not a Word document. Save it as .docx, or remove it."
        ) from error
    if not any(part.filename == "[Content_Types].xml" for part in parts):
        raise InvalidInput("The file is a ZIP archive, not a Word document. Remove it.")
    # Goes by the sizes that the archive claims; one that lies meets the limits of the process.
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise InvalidInput(
            f"The Word document unpacks to over {MAX_UNPACKED / 1e6:.0f} MB. Take images out, or"
            " split it."
        )


def _as_shown(raw: bytes) -> bytes:
    """Returns the file without hidden text, with what was struck twice struck once, and with
    what was moved where it is now: mammoth knows none of these."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    styles = parts.get("word/styles.xml", b"")
    hidden = _hidden_styles(styles) if b"vanish" in styles else frozenset()
    changed = {
        name: _shown(part, hidden)
        for name, part in parts.items()
        if _TEXT_PARTS.fullmatch(name) and (hidden or _MAY_HIDE.search(part))
    }
    if not changed:
        return raw
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, part in {**parts, **changed}.items():
            archive.writestr(name, part)
    return out.getvalue()


def _hidden_styles(styles: bytes) -> frozenset[str]:
    root = ElementTree.fromstring(styles)  # noqa: S314  in the confined process
    found = (style for style in root.iter(f"{_W}style") if _is_on(style.find(f"{_W}rPr"), "vanish"))
    return frozenset(style.get(f"{_W}styleId") or "" for style in found)


def _shown(part: bytes, hidden: frozenset[str]) -> bytes:
    root = ElementTree.fromstring(part)  # noqa: S314  in the confined process
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_W}moveFrom" or _is_hidden(child, hidden):
                parent.remove(child)
            elif child.tag == f"{_W}moveTo":
                child.tag = f"{_W}ins"
            elif child.tag == f"{_W}dstrike":
                child.tag = f"{_W}strike"
    written: bytes = ElementTree.tostring(root, encoding="utf-8")
    return written


def _is_hidden(node: ElementTree.Element, hidden: frozenset[str]) -> bool:
    if node.tag == f"{_W}r":
        properties, named = node.find(f"{_W}rPr"), "rStyle"
    elif node.tag == f"{_W}p":
        properties, named = node.find(f"{_W}pPr"), "pStyle"
    else:
        return False
    if node.tag == f"{_W}r" and _is_on(properties, "vanish"):
        return True
    style = properties.find(f"{_W}{named}") if properties is not None else None
    return style is not None and (style.get(f"{_W}val") or "") in hidden


def _is_on(properties: ElementTree.Element | None, name: str) -> bool:
    found = properties.find(f"{_W}{name}") if properties is not None else None
    return found is not None and (found.get(f"{_W}val") or "true") not in ("0", "false", "off")


def _no_image(_image: Any) -> dict[str, str]:
    return {"src": ""}


def _from_the_start(part: Heading | Located) -> Heading | Located:
    """Returns the part on line 1: Word has no lines before it lays a page out."""
    return part._replace(line=1)
