"""PDF and DOCX files, made by hand: whole ones, and ones that no program would make."""

import io
import zipfile
import zlib
from collections.abc import Sequence

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def pdf_of(objects: Sequence[bytes], root: int = 1, trailer: bytes = b"") -> bytes:
    """A file of numbered objects, from 1, with its table of offsets."""
    out = bytearray(b"%PDF-1.7\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<</Size %d/Root %d 0 R%s>>\n" % (len(objects) + 1, root, trailer)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def stream(data: bytes, extra: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(data), extra, data)


def pdf(*pages: Sequence[tuple[float, float, str]], title: str = "", extra: bytes = b"") -> bytes:
    """Pages of (type size, height on the page, text)."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * at) for at in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R%s>>" % extra,
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(pages), kids),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    ]
    for at, lines in enumerate(pages):
        drawn = b"\n".join(
            b"BT /F1 %.1f Tf 1 0 0 1 72 %.1f Tm (%s) Tj ET"
            % (size, height, text.encode("cp1252").replace(b"(", b"\\(").replace(b")", b"\\)"))
            for size, height, text in lines
        )
        objects.append(page(5 + 2 * at))
        objects.append(stream(drawn))
    info = b""
    if title:
        objects.append(b"<</Title(%s)>>" % title.encode())
        info = b"/Info %d 0 R" % len(objects)
    return pdf_of(objects, trailer=info)


def page(contents: int, resources: bytes = b"<</Font<</F1 3 0 R>>>>") -> bytes:
    return b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources %s/Contents %d 0 R>>" % (
        resources,
        contents,
    )


def pdf_with(contents: bytes, *more: bytes, resources: bytes = b"<</Font<</F1 3 0 R>>>>") -> bytes:
    """One page whose contents are the object given; `more` are objects 6 and on."""
    return pdf_of(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
            page(5, resources),
            contents,
            *more,
        ]
    )


def flate_bomb(megabytes: int, *, layers: int = 1) -> bytes:
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(megabytes)) + packer.flush()
    for _ in range(layers - 1):
        data = zlib.compress(data, 9)
    filters = b"[" + b"/FlateDecode" * layers + b"]"
    return pdf_with(stream(data, b"/Filter" + filters))


_CONTENT = (
    f'<Types xmlns="{PACKAGE}/content-types">'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
    f'relationships+xml"/><Override PartName="/word/document.xml" ContentType="application/vnd.'
    f'openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>'
)
_RELATIONS = (
    f'<Relationships xmlns="{PACKAGE}/relationships">'
    f'<Relationship Id="r1" Type="{R}/officeDocument"'
    f' Target="word/document.xml"/></Relationships>'
)
STYLES = (
    f'<w:styles xmlns:w="{W}">'
    + "".join(
        f'<w:style w:type="paragraph" w:styleId="{id}"><w:name w:val="{name}"/></w:style>'
        for id, name in (
            ("Title", "Title"),
            ("Heading1", "heading 1"),
            ("Heading2", "heading 2"),
            ("Code", "Code"),
        )
    )
    + "</w:styles>"
)


def docx(
    body: str | bytes | int,
    *,
    head: str = "",
    relations: str = "",
    styles: str = STYLES,
    **more: bytes,
) -> bytes:
    """A document of this body; `head` stands before its root, `more` are parts by name.

    A number makes so many megabytes of spaces.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT)
        archive.writestr("_rels/.rels", _RELATIONS)
        with archive.open("word/document.xml", "w", force_zip64=True) as document:
            if isinstance(body, int):
                for _ in range(body):
                    document.write(b" " * (1 << 20))
            else:
                whole = body if isinstance(body, bytes) else document_of(body, head).encode()
                document.write(whole)
        archive.writestr("word/styles.xml", styles)
        rows = f'<Relationship Id="s1" Type="{R}/styles" Target="styles.xml"/>{relations}'
        archive.writestr(
            "word/_rels/document.xml.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships">{rows}</Relationships>',
        )
        for name, data in more.items():
            archive.writestr(name, data)
    return out.getvalue()


def document_of(body: str, head: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{head}<w:document xmlns:w="{W}" xmlns:r="{R}">'
        f"<w:body>{body}</w:body></w:document>"
    )


def para(text: str, style: str = "", properties: str = "") -> str:
    mark = f'<w:pStyle w:val="{style}"/>' if style else ""
    return f"<w:p><w:pPr>{mark}{properties}</w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>"


def table(*rows: Sequence[str]) -> str:
    made = "".join(
        "<w:tr>" + "".join(f"<w:tc>{para(cell)}</w:tc>" for cell in row) + "</w:tr>" for row in rows
    )
    return f"<w:tbl>{made}</w:tbl>"
