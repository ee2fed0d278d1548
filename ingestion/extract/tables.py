"""HTML tables to Markdown: one header row, spans filled in."""

from collections.abc import Callable, Iterator, Set

from selectolax.lexbor import LexborNode

MAX_SPAN = 50
"""Columns or rows that one cell may cover; more is a mistake or an attack."""
_LONG = 300
"""Characters: a cell longer than this is a part of a page."""
_PLAIN = ("presentation", "none")


def table(node: LexborNode, render: Callable[[LexborNode], str], hidden: Set[int]) -> str:
    """Returns the table as Markdown, "" where it holds nothing. Its first row becomes the
    header."""
    grid = [row for row in _grid(node, render, hidden) if any(row)]
    if not grid:
        return ""
    width = max(map(len, grid))
    rows = [_row([*row, *[""] * (width - len(row))]) for row in grid]
    return "\n".join([rows[0], "|" + " --- |" * width, *rows[1:]])


def is_layout(node: LexborNode, holders: Set[int]) -> bool:
    """Returns whether it only places parts of a page: what it holds is read cell by cell."""
    if (node.attributes.get("role") or "") in _PLAIN:
        return True
    inside = node.css("table, h1, h2, h3, h4")
    if any(each.mem_id != node.mem_id for each in inside):
        return True
    rows = list(_rows(node))
    cells = [cell for row in rows for cell in row.iter() if cell.tag in ("td", "th")]
    if not cells or any(cell.tag == "th" for cell in cells):
        return False
    one_wide = len(cells) == len(rows)
    return (one_wide or len(rows) == 1) and any(
        cell.mem_id in holders or len(cell.text()) > _LONG for cell in cells
    )


def _grid(
    node: LexborNode, render: Callable[[LexborNode], str], hidden: Set[int]
) -> Iterator[list[str]]:
    hanging: dict[int, tuple[int, str]] = {}  # column -> rows still to fill, text
    for row in _rows(node):
        if row.mem_id in hidden:
            continue
        cells: list[str] = []
        for cell in row.iter():
            if cell.tag not in ("td", "th"):
                continue
            _fill(cells, hanging)
            text = "" if cell.mem_id in hidden else render(cell)
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
    """Yields rows of this table, not of one inside it."""
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
