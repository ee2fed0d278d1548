"""PDF and Word files as readers see them: headings, lists, tables, links, pages."""

from pathlib import Path

import pytest

from ingestion.extract import Extracted, extract
from ingestion.extract.reading import DOCX, PDF
from ingestion.sources import Fetched, Folder
from ingestion.sync.pipeline import sync
from tests.ingestion.extract import files
from tests.ingestion.extract.files import docx, para, pdf, table
from tests.ingestion.helpers import WORKSPACE, readable
from twofold.errors import InvalidInput
from twofold.stack import Stack


def read(raw: bytes, media_type: str = PDF) -> Extracted:
    return extract("guides/set-up.x", Fetched(raw, media_type, meta={"audience": ["customer"]}))


def shape(extracted: Extracted) -> list[tuple[tuple[str, ...], str]]:
    return [(section.heading_path, section.text) for section in extracted.sections]


GUIDE = pdf(
    [
        (24, 740, "Pump guide"),
        (16, 700, "Setting up"),
        (11, 670, "Place the pump on a flat sur-"),
        (11, 656, "face and plug it in."),
        (11, 620, "Then wait."),
        (9, 30, "Brackwater page 1"),
    ],
    [
        (16, 740, "Limits (daily)"),
        (11, 700, "• At most 40 litres."),
        (11, 686, "• At most 3 hours."),
        (9, 30, "Brackwater page 2"),
    ],
    [(11, 740, "Call us for more."), (9, 30, "Brackwater page 3")],
)


def test_a_pdf_keeps_headings_paragraphs_lists_and_pages() -> None:
    extracted = read(GUIDE)
    assert extracted.title == "Pump guide"
    assert extracted.meta.audience == ("customer",)
    assert shape(extracted) == [
        (("Setting up",), "Place the pump on a flat surface and plug it in.\n\nThen wait."),
        (
            ("Limits (daily)",),
            "- At most 40 litres.\n- At most 3 hours.\n\nCall us for more.",
        ),
    ]
    assert extracted.meta.extra["section_pages"] == [1, 2]


def test_a_pdf_of_one_type_size_is_one_section() -> None:
    extracted = read(pdf([(11, 700, "One."), (11, 686, "Two.")], title="Named"))
    assert (extracted.title, shape(extracted)) == ("Named", [((), "One. Two.")])


def test_a_word_document_keeps_its_structure() -> None:
    link = '<w:hyperlink r:id="l1"><w:r><w:t>the shop</w:t></w:r></w:hyperlink>'
    listed = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    numbering = (
        f'<w:numbering xmlns:w="{files.W}"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0">'
        '<w:numFmt w:val="decimal"/></w:lvl></w:abstractNum><w:num w:numId="1">'
        '<w:abstractNumId w:val="0"/></w:num></w:numbering>'
    )
    relations = (
        f'<Relationship Id="l1" Type="{files.R}/hyperlink" Target="https://shop.example.com/x"'
        ' TargetMode="External"/>'
        f'<Relationship Id="n1" Type="{files.R}/numbering" Target="numbering.xml"/>'
    )
    raw = docx(
        para("Plans", "Title")
        + para("Prices", "Heading1")
        + table(["Plan", "Price"], ["Pro", "9 | month"])
        + para("Steps", "Heading2")
        + para("Open it.", properties=listed)
        + para("Close it.", properties=listed)
        + f"<w:p><w:r><w:t>See </w:t></w:r>{link}</w:p>"
        + para("run --now", "Code"),
        relations=relations,
        **{"word/numbering.xml": numbering.encode()},
    )
    extracted = read(raw, DOCX)
    assert extracted.title == "Plans"
    sections = shape(extracted)
    assert sections[0][1].startswith("| Plan | Price |\n| --- | --- |\n| Pro | 9 \\| month |")
    path, text = sections[1]
    assert path[-1] == "Steps"
    assert text.startswith("1. Open it.\n2. Close it.")
    assert "See [the shop](https://shop.example.com/x)" in text
    assert "```\nrun --now\n```" in text


@pytest.mark.parametrize(
    ("raw", "media_type", "says"),
    [
        (files.pdf_with(files.stream(b"q Q")), PDF, "only images"),
        (pdf([]), PDF, "only images"),
        (b"not a pdf", PDF, "damaged"),
        (b"", PDF, "damaged"),
        (b"\xd0\xcf\x11\xe0" + b"\0" * 600, DOCX, "old .doc format"),
        (b"PK\x03\x04", DOCX, "not a Word document"),
        (b"plain", DOCX, "not a Word document"),
        (docx(""), DOCX, "no text"),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, media_type: str, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read(raw, media_type)


def test_an_encrypted_pdf_says_so() -> None:
    import io

    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(GUIDE)))
    writer.encrypt("word", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    with pytest.raises(InvalidInput, match="encrypted"):
        read(out.getvalue())


def test_a_folder_of_all_formats_syncs(stack: Stack, tree: Path) -> None:
    (tree / "a.pdf").write_bytes(GUIDE)
    (tree / "b.docx").write_bytes(docx(para("Words of Word.")))
    (tree / "broken.pdf").write_bytes(GUIDE[:400])
    (tree / "c.md").write_text("Words of Markdown.")
    report = sync(stack, WORKSPACE, Folder("help", tree))
    assert (report.added, report.failed) == (3, 1)
    assert readable(stack, "public")["help/b.docx"] == ["Words of Word."]
