"""Files made to harm, and damaged ones: none may kill, stall or fill the process that asks."""

import io
import random
import resource
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ingestion.extract import Bounds, Extracted, extract
from ingestion.extract.reading import DOCX, PDF
from ingestion.sources import Fetched
from tests.ingestion.extract.files import (
    R,
    docx,
    flate_bomb,
    para,
    pdf,
    pdf_of,
    pdf_with,
    stream,
    table,
)
from twofold.errors import InvalidInput

BOUNDS = Bounds(cpu=3, wall=12.0, memory=400, output=2)
CANARY = "canary-7f3a"

Make = Callable[[], bytes]

GOOD_PDF = pdf([(18, 700, "Title"), (11, 650, "Some words that are long enough to break.")])
GOOD_DOCX = docx(para("Title", "Heading1") + para("Words.") + table(["a", "b"], ["c", "d"]))


def read(media_type: str, raw: bytes, bounds: Bounds = BOUNDS) -> Extracted:
    return extract("x", Fetched(raw, media_type), bounds=bounds)


def cut(raw: bytes, share: float) -> bytes:
    return raw[: int(len(raw) * share)]


def noisy(raw: bytes, seed: int) -> bytes:
    """One byte in fifty is another one."""
    rng = random.Random(seed)
    return bytes(rng.randrange(256) if rng.random() < 0.02 else byte for byte in raw)


def lying_zip() -> bytes:
    """Says that its parts are small; they are not."""
    raw = bytearray(docx(500))
    at = raw.find(b"PK\x01\x02")
    while at >= 0:
        raw[at + 24 : at + 28] = (100).to_bytes(4, "little")
        at = raw.find(b"PK\x01\x02", at + 4)
    return bytes(raw)


def many_parts() -> bytes:
    return docx(para("x"), **{f"word/media/{n}.xml": b"" for n in range(8000)})


def nested_zip() -> bytes:
    inner = GOOD_DOCX
    for _ in range(20):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("[Content_Types].xml", inner)
        inner = out.getvalue()
    return inner


def laughs(levels: int, each: int) -> bytes:
    rows = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * each}">' if n else '<!ENTITY l0 "ha">'
        for n in range(levels)
    )
    return docx(para(f"&l{levels - 1};"), head=f"<!DOCTYPE d [{rows}]>")


def quadratic() -> bytes:
    return docx(para("&a;" * 50_000), head=f'<!DOCTYPE d [<!ENTITY a "{"x" * 50_000}">]>')


def external(target: str) -> bytes:
    return docx(para("&x;"), head=f'<!DOCTYPE d [<!ENTITY x SYSTEM "{target}">]>')


def linked_image(target: str) -> bytes:
    relation = f'<Relationship Id="i1" Type="{R}/image" Target="{target}" TargetMode="External"/>'
    drawing = (
        '<w:p><w:r><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/'
        '2006/wordprocessingDrawing"><a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml'
        '/2006/main"><a:graphicData><pic:pic xmlns:pic="http://schemas.openxmlformats.org/drawingml/'
        '2006/picture"><pic:blipFill><a:blip r:link="i1"/></pic:blipFill></pic:pic></a:graphicData>'
        "</a:graphic></wp:inline></w:drawing></w:r></w:p>"
    )
    return docx(para("x") + drawing, relations=relation)


def nested(tag: str, depth: int) -> bytes:
    return docx(f"<w:{tag}>" * depth + para("x") + f"</w:{tag}>" * depth)


def nested_tables(depth: int) -> bytes:
    opening, closing = "<w:tbl><w:tr><w:tc>", "</w:tc></w:tr></w:tbl>"
    return docx(opening * depth + para("x") + closing * depth)


def form_loop() -> bytes:
    form = b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>"
    resources = b"<</XObject<</X 6 0 R>>>>"
    return pdf_with(stream(b"/X Do"), stream(b"/X Do", form), resources=resources)


def form_tree(levels: int) -> bytes:
    """Each form draws the next ten times: ten to the power of `levels`."""
    forms = [
        stream(
            b"/X Do " * 10,
            b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X %d 0 R>>>>"
            % (7 + level),
        )
        for level in range(levels)
    ]
    last = stream(b"BT (x) Tj ET", b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]")
    return pdf_with(stream(b"/X Do"), *forms, last, resources=b"<</XObject<</X 6 0 R>>>>")


def page_loop() -> bytes:
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[2 0 R]>>"])


def page_ladder(depth: int) -> bytes:
    rungs = [b"<</Type/Pages/Count 1/Kids[%d 0 R]>>" % (3 + at) for at in range(depth)]
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", *rungs, b"<</Type/Page>>"])


def many_pages(count: int) -> bytes:
    kids = b"3 0 R " * count
    tree = b"<</Type/Pages/Count %d/Kids[%s]>>" % (count, kids)
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", tree, b"<</Type/Page/Parent 2 0 R>>"])


def xref_loop() -> bytes:
    return GOOD_PDF.replace(b"/Root 1 0 R", b"/Root 1 0 R/Prev %d" % GOOD_PDF.rfind(b"xref\n0"))


def wide_cmap() -> bytes:
    cmap = b"1 begincodespacerange <0000> <FFFF> endcodespacerange\n" + (
        b"1 beginbfrange <00000000> <FFFFFFFF> <0041> endbfrange\n" * 50
    )
    font = b"<</Type/Font/Subtype/Type0/BaseFont/F/ToUnicode 7 0 R>>"
    text = stream(b"BT /F1 11 Tf (ab) Tj ET")
    return pdf_with(text, font, stream(cmap), resources=b"<</Font<</F1 6 0 R>>>>")


def deep(opening: bytes, closing: bytes, depth: int) -> bytes:
    return pdf_with(stream(b"BT " + opening * depth + closing * depth + b" Tj ET"))


def deep_object(opening: bytes, closing: bytes, depth: int) -> bytes:
    return pdf([(11, 700, "x")], extra=b"/X " + opening * depth + closing * depth)


def text_flood() -> bytes:
    return pdf_with(stream(b"BT /F1 9 Tf " + b"(flood of words) Tj T* " * 400_000 + b"ET"))


def lzw_noise() -> bytes:
    return pdf_with(stream(random.Random(1).randbytes(2_000_000), b"/Filter/LZWDecode"))


def object_stream_loop() -> bytes:
    body = stream(b"6 0 7 9 <</A 1>>", b"/Type/ObjStm/N 2/First 8/Extends 6 0 R")
    return pdf_with(stream(b"BT (x) Tj ET"), body)


def styles_loop() -> bytes:
    style = (
        '<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:style'
        ' w:type="paragraph" w:styleId="A"><w:name w:val="A"/><w:basedOn w:val="A"/></w:style>'
        "</w:styles>"
    )
    return docx(para("x", "A"), styles=style)


BOMBS: dict[str, tuple[str, Make]] = {
    "pdf: flate, 1 GB": (PDF, lambda: flate_bomb(1000)),
    "pdf: flate in flate": (PDF, lambda: flate_bomb(1000, layers=2)),
    "pdf: flate five deep": (PDF, lambda: flate_bomb(600, layers=5)),
    "pdf: LZW noise": (PDF, lzw_noise),
    "pdf: ASCII85 of nothing": (
        PDF,
        lambda: pdf_with(stream(b"z" * 5_000_000, b"/Filter/ASCII85Decode")),
    ),
    "pdf: run length": (
        PDF,
        lambda: pdf_with(stream(b"\x81 " * 3_000_000, b"/Filter/RunLengthDecode")),
    ),
    "pdf: 200 filters": (
        PDF,
        lambda: pdf_with(stream(b"x", b"/Filter[" + b"/ASCIIHexDecode" * 200 + b"]")),
    ),
    "pdf: page that is its own parent": (PDF, page_loop),
    "pdf: page tree 5,000 deep": (PDF, lambda: page_ladder(5000)),
    "pdf: a million pages": (PDF, lambda: many_pages(1_000_000)),
    "pdf: count that lies": (PDF, lambda: GOOD_PDF.replace(b"/Count 1", b"/Count 999999999")),
    "pdf: table of offsets that names itself": (PDF, xref_loop),
    "pdf: form that draws itself": (PDF, form_loop),
    "pdf: forms, ten to the ninth": (PDF, lambda: form_tree(9)),
    "pdf: character map of four thousand million": (PDF, wide_cmap),
    "pdf: arrays 200,000 deep": (PDF, lambda: deep(b"[", b"]", 200_000)),
    "pdf: dictionaries 100,000 deep": (PDF, lambda: deep(b"<</A ", b">>", 100_000)),
    "pdf: strings 200,000 deep": (PDF, lambda: deep(b"(", b")", 200_000)),
    "pdf: catalog 100,000 deep": (PDF, lambda: deep_object(b"[", b"]", 100_000)),
    "pdf: catalog of dictionaries": (PDF, lambda: deep_object(b"<</A ", b">>", 50_000)),
    "pdf: six million words": (PDF, text_flood),
    "pdf: object stream that extends itself": (PDF, object_stream_loop),
    "pdf: length that points at itself": (
        PDF,
        lambda: pdf_with(b"<</Length 5 0 R>>stream\nBT (x) Tj ET\nendstream"),
    ),
    "pdf: name of a megabyte": (PDF, lambda: deep_object(b"/" + b"A" * 1_000_000, b"", 1)),
    "pdf: number of a megabyte": (PDF, lambda: deep_object(b"9" * 1_000_000, b"", 1)),
    "pdf: nothing but a header": (PDF, lambda: b"%PDF-1.7\n"),
    "pdf: a megabyte of headers": (PDF, lambda: b"%PDF-1.7\n" * 110_000),
    "pdf: a megabyte of object openings": (PDF, lambda: b"%PDF-1.7\n" + b"1 0 obj\n<<" * 100_000),
    "pdf: offset of the table far behind the end": (
        PDF,
        lambda: GOOD_PDF[: GOOD_PDF.rfind(b"startxref")] + b"startxref\n99999999999\n%%EOF",
    ),
    "pdf: zeros": (PDF, lambda: b"\0" * 2_000_000),
    **{f"pdf: cut at {n}0%": (PDF, lambda n=n: cut(GOOD_PDF, n / 10)) for n in range(1, 10, 2)},  # type: ignore[misc]
    **{f"pdf: noise {n}": (PDF, lambda n=n: noisy(GOOD_PDF, n)) for n in range(8)},  # type: ignore[misc]
    "docx: a gigabyte of spaces": (DOCX, lambda: docx(1000)),
    "docx: sizes that lie": (DOCX, lying_zip),
    "docx: eight thousand parts": (DOCX, many_parts),
    "docx: zip in zip": (DOCX, nested_zip),
    "docx: thousand million laughs": (DOCX, lambda: laughs(10, 10)),
    "docx: laughs, wide": (DOCX, lambda: laughs(3, 3000)),
    "docx: quadratic entities": (DOCX, quadratic),
    "docx: reads a file": (DOCX, lambda: external("file:///etc/passwd")),
    "docx: reads the network": (DOCX, lambda: external("http://127.0.0.1:9/x")),
    "docx: links a file as image": (DOCX, lambda: linked_image("file:///etc/passwd")),
    "docx: runs 100,000 deep": (DOCX, lambda: nested("sdt", 100_000)),
    "docx: smart tags 5,000 deep": (DOCX, lambda: nested("smartTag", 5000)),
    "docx: tables 2,000 deep": (DOCX, lambda: nested_tables(2000)),
    "docx: a cell a million wide": (
        DOCX,
        lambda: docx(
            table(["x"]).replace("<w:tc>", '<w:tc><w:tcPr><w:gridSpan w:val="9999999"/></w:tcPr>')
        ),
    ),
    "docx: a million paragraphs": (DOCX, lambda: docx(para("x") * 1_000_000)),
    "docx: attribute of 50 MB": (DOCX, lambda: docx(para("x", "A" * 50_000_000))),
    "docx: style based on itself": (DOCX, styles_loop),
    "docx: no document": (DOCX, lambda: docx(b"")),
    "docx: not XML": (DOCX, lambda: docx(b"\xff\xfe\0\0<<<<")),
    "docx: way out of the archive": (
        DOCX,
        lambda: docx(para("x"), **{"../../../../etc/passwd": b"x"}),
    ),
    **{f"docx: cut at {n}0%": (DOCX, lambda n=n: cut(GOOD_DOCX, n / 10)) for n in range(1, 10, 2)},  # type: ignore[misc]
    **{f"docx: noise {n}": (DOCX, lambda n=n: noisy(GOOD_DOCX, n)) for n in range(6)},  # type: ignore[misc]
}


def test_there_are_sixty_and_more() -> None:
    assert len(BOMBS) >= 60


@pytest.mark.heavy
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_as_a_failure_of_its_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    media_type, make = BOMBS[name]
    monkeypatch.setenv("SECRET", CANARY)
    raw = make()
    began, held = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        extracted = read(media_type, raw)
    except InvalidInput as error:
        said = error.message
    else:
        # Harmless to its reader after all, or repaired by it.
        said = " ".join(section.text for section in extracted.sections)
        assert len(said) < BOUNDS.output << 20
    assert time.monotonic() - began < BOUNDS.wall + 30  # how late a busy machine may be
    # In kilobytes: it must not grow here with what the file unpacks to.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held < 100_000
    assert "root:" not in said
    assert CANARY not in said


@pytest.mark.heavy
def test_the_next_file_is_read_as_ever() -> None:
    with pytest.raises(InvalidInput):
        read(PDF, flate_bomb(500), BOUNDS._replace(memory=200))
    assert read(PDF, GOOD_PDF).sections
    assert read(DOCX, GOOD_DOCX).sections
