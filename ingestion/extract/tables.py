"""HTML tables to Markdown: one header row, spans filled in."""

from collections.abc import Callable, Iterator

from selectolax.lexbor import LexborNode

MAX_SPAN = 50
"""Columns or rows that one cell may cover; more is a mistake or an attack."""


def table(node: LexborNode, render: Callable[[LexborNode], str]) -> str:
    """The table as Markdown, "" where it holds nothing. Its first row becomes the header."""
    grid = [row for row in _grid(node, render) if any(row)]
    if not grid:
        return ""
    width = max(map(len, grid))
    rows = [_row([*row, *[""] * (width - len(row))]) for row in grid]
    return "\n".join([rows[0], "|" + " --- |" * width, *rows[1:]])


def _grid(node: LexborNode, render: Callable[[LexborNode], str]) -> Iterator[list[str]]:
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows still to fill, text
    for row in _rows(node):
        cells: list[str] = []
        for cell in row.iter():
            if cell.tag not in ("td", "th"):
                continue
            _fill(cells, hanging)
            text = render(cell)
            rows, columns = _span(cell, "rowspan"), _span(cell, "colspan")
            for column in range(len(cells), len(cells) + columns):
                if rows > 1:
                    hanging[column] = (rows - 1, text)
            cells += [text, *[""] * (columns - 1)]
        _fill(cells, hanging)
        yield cells


def _fill(cells: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    while len(cells) in hanging:
        rows, text = hanging.pop(len(cells))
        if rows > 1:
            hanging[len(cells)] = (rows - 1, text)
        cells.append(text)


def _rows(node: LexborNode) -> Iterator[LexborNode]:
    """Rows of this table, not of one inside it."""
    for child in node.iter():
        if child.tag == "tr":
            yield child
        elif child.tag in ("thead", "tbody", "tfoot"):
            yield from (row for row in child.iter() if row.tag == "tr")


def _span(cell: LexborNode, name: str) -> int:
    value = cell.attributes.get(name) or "1"
    return min(max(int(value), 1), MAX_SPAN) if value.isascii() and value.isdigit() else 1


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
