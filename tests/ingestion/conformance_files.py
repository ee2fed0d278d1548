"""PDF and Word files of the conformance corpus, made here because nobody reads them in a diff."""

from collections.abc import Callable, Mapping

from tests.ingestion.extract.files import docx, para, pdf, pdf_with, stream, table

Text = tuple[float, float, str]


def run(text: str, properties: str = "") -> str:
    return f"<w:r><w:rPr>{properties}</w:rPr><w:t xml:space='preserve'>{text}</w:t></w:r>"


def line(*runs: str) -> str:
    return f"<w:p>{''.join(runs)}</w:p>"


def placed(*texts: tuple[float, float, str]) -> bytes:
    """A page of (from the left, height on the page, text)."""
    drawn = b"\n".join(
        b"BT /F1 11 Tf 1 0 0 1 %.1f %.1f Tm (%s) Tj ET" % (x, y, text.encode("cp1252"))
        for x, y, text in texts
    )
    return pdf_with(
        stream(drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        resources=b"<</Font<</F1 6 0 R>>>>",
    )


def columns() -> bytes:
    rows = [
        ("The left column tells of", "The right column tells of"),
        ("pumps that move 40 litres", "valves that hold 9 bar of"),
        ("of water in a single hour", "pressure for a whole year"),
        ("without making any noise", "when they are kept clean"),
        ("and it goes on to its end.", "and it ends down here too."),
        ("Left is done after this.", "Right is done after this."),
    ]
    texts = []
    for at, (left, right) in enumerate(rows):
        texts += [(72.0, 700.0 - 14 * at, left), (320.0, 700.0 - 14 * at, right)]
    return placed(*texts)


def narrow_columns() -> bytes:
    rows = [
        ("Pumps move", "Valves hold"),
        ("forty litres", "nine bar of"),
        ("in an hour", "pressure for"),
        ("and make no", "all the year"),
        ("noise at all", "when clean"),
        ("in the night.", "and checked."),
    ]
    texts = []
    for at, (left, right) in enumerate(rows):
        texts += [(72.0, 700.0 - 14 * at, left), (320.0, 700.0 - 14 * at, right)]
    return placed(*texts)


def price_table() -> bytes:
    rows = [
        ("Plan", "Price"),
        ("Free", "0"),
        ("Pro", "49"),
        ("Team", "99"),
        ("Max", "199"),
        ("X", "5"),
    ]
    texts = []
    for at, (left, right) in enumerate(rows):
        texts += [(72.0, 700.0 - 14 * at, left), (320.0, 700.0 - 14 * at, right)]
    return placed(*texts)


def prices(height: float) -> bytes:
    return pdf(*([(11, height, f"Monthly price: {price} EUR")] for price in (10, 25, 60)))


def numbered() -> bytes:
    return pdf(
        *(
            [(9, 770, "Pump guide"), (11, 500, f"Step {step}."), (9, 30, f"Page {step} of 3")]
            for step in (1, 2, 3)
        )
    )


def noted() -> bytes:
    return pdf(
        *([(11, 500, f"Part {part}."), (9, 30, "All prices exclude 19% VAT")] for part in "abc")
    )


MADE: Mapping[str, Callable[[], bytes]] = {
    "prices-on-three-pages.pdf": lambda: prices(700),
    "prices-in-the-margin.pdf": lambda: prices(760),
    "page-numbers.pdf": numbered,
    "footer-with-a-fact.pdf": noted,
    "columns.pdf": columns,
    "narrow-columns.pdf": narrow_columns,
    "table.pdf": price_table,
    "hidden.docx": lambda: docx(line(run("Shown 5. "), run("Margin 40%.", "<w:vanish/>"))),
    "hidden-off.docx": lambda: docx(line(run("Shown 5.", '<w:vanish w:val="false"/>'))),
    "hidden-style.docx": lambda: docx(
        line(run("Shown 5. "), run("Margin 40%.", '<w:rStyle w:val="Secret"/>')),
        styles='<w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:type="character" w:styleId="Secret"><w:name w:val="Secret"/><w:rPr><w:vanish/>'
        "</w:rPr></w:style></w:styles>",
    ),
    "struck.docx": lambda: docx(line(run("12", "<w:strike/>"), run(" 9 EUR"))),
    "struck-twice.docx": lambda: docx(line(run("12", "<w:dstrike/>"), run(" 9 EUR"))),
    "tracked.docx": lambda: docx(
        line(
            "<w:del><w:r><w:delText>12</w:delText></w:r></w:del>",
            f"<w:ins>{run('9')}</w:ins>",
            run(" EUR"),
        )
    ),
    "moved.docx": lambda: docx(
        line(f"<w:moveFrom>{run('Away 3.')}</w:moveFrom>", f"<w:moveTo>{run('Here 4.')}</w:moveTo>")
    ),
    "superscript.docx": lambda: docx(
        line(
            run("costs 4"),
            run("1", '<w:vertAlign w:val="superscript"/>'),
            run(" EUR, 10"),
            run("3", '<w:vertAlign w:val="superscript"/>'),
            run(" rows"),
        )
    ),
    "table.docx": lambda: docx(table(["Plan", "Price"], ["Pro", "49"])),
    "questions.docx": lambda: docx(
        line(run("Is the locker heated?", "<w:b/>"))
        + para("No.")
        + line(run("May I share it?", "<w:b/>"))
        + para("Yes, with up to two people.")
    ),
}
