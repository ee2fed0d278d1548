"""The rows of a table that a question names."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate.sections import block_of
from services.answer.generate.weigh import Unit, words_of

UNLIKELY: Final = -1.0
"""Log odds below which the reader holds a row for no answer."""
WHOLE_ROWS: Final = 6
COLUMN_ROWS: Final = 12
"""Rows of a table of no more are all said, where nothing but one of its columns is asked for."""
WHOLE_CELLS: Final = 18
"""A table of no more is said whole, where a question names none of its rows."""
_WHOLE = re.compile(r"(?<![\w.,])\d+(?![\w.,]?\d)")
"""A whole number alone, by which a table's row may be named: an error's code, not a price."""


def names(text: str) -> set[str]:
    """Returns the words and figures by which a row or a column can be named; one and many alike."""
    words = (word.removesuffix("s") if len(word) > 3 else word for word in words_of(text))
    return {*words, *_WHOLE.findall(text)}


def rows_apart(table: Sequence[Unit], text: str) -> list[Unit]:
    """Returns the rows that tell two columns apart which the text names; nothing where it does not
    name two, names a row, or too many do."""
    head, words = table[0].piece.head, names(text)
    named = [i for i, name in enumerate(head) if i and names(name) and names(name) <= words]
    rows = (names(unit.piece.cells[0]) for unit in table)
    if len(named) < 2 or any(row and row <= words for row in rows):
        return []
    apart = [u for u in table if len({u.piece.cells[i : i + 1] for i in named}) > 1]
    return apart if len(apart) <= COLUMN_ROWS else []


def rows_named(unit: Unit, section: Sequence[Unit], text: str, last: str) -> list[Unit]:
    """Returns the rows of the unit's table that the question names, by its last message or else
    by what it leans on. Where it names none, the unit; but all of a small table, where neither the
    reader nor anything that is asked tells one of its rows from another."""
    rows = [u for u in section if block_of(u) == block_of(unit) and u.piece.cells]
    for own in map(names, (last, text)):
        first = [names(u.piece.cells[0]) for u in rows]
        most = max(len(own & each) for each in first)
        named = [
            u
            for u, each in zip(rows, first, strict=True)
            if own & each and (each <= own or len(own & each) == most)
        ]
        if named and len(named) <= max(1, len(rows) / 2):
            return named
    wanted = names(text) | names(last)
    columns = names(" ".join(unit.piece.head[1:])) if len(unit.piece.head) > 2 else set()
    held = [names(" ".join(u.piece.cells)) for u in rows]
    telling = frozenset[str]().union(*held) - held[0].intersection(*held)
    asks_column = not wanted.isdisjoint(columns)
    if asks_column and telling.isdisjoint(wanted - columns) and len(rows) <= COLUMN_ROWS:
        return rows
    counted = any(any(map(str.isdigit, u.piece.cells[0])) for u in rows)
    if asks_column or (counted and any(map(str.isdigit, text))):
        return [unit]
    small = len(rows) <= WHOLE_ROWS and sum(len(u.piece.cells) for u in rows) <= WHOLE_CELLS
    told = unit.likely and all(u is unit or u.sure < UNLIKELY for u in rows)
    return rows if small and telling.isdisjoint(wanted) and not told else [unit]
