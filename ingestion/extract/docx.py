"""DOCX to blocks: mammoth makes HTML by the styles, and that is read as any HTML.

Runs in the confined process only: what it reads may have been made to harm.
"""

import io
import zipfile
from typing import Any

import mammoth

from ingestion.extract.document import Heading, Located, Parsed
from ingestion.extract.html import parse_html
from twofold.errors import InvalidInput

MAX_UNPACKED = 200_000_000
MAX_PARTS = 5000
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
            io.BytesIO(raw), style_map=_STYLES, convert_image=mammoth.images.img_element(_no_image)
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
    # By what they say of themselves; one that lies meets the limits of the process.
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED:
        raise InvalidInput(
            f"The Word document unpacks to over {MAX_UNPACKED / 1e6:.0f} MB. Take images out, or"
            " split it."
        )


def _no_image(_image: Any) -> dict[str, str]:
    return {"src": ""}


def _from_the_start(part: Heading | Located) -> Heading | Located:
    """Word knows no lines before it lays a page out."""
    return part._replace(line=1)
