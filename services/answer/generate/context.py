"""What a unit cannot be understood without: the sentence that it leans on, what leads to it, the
rest of its steps, the other rows that the question names."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate import asked
from services.answer.generate.weigh import Unit, leads, words_of
from services.answer.search.asks import is_question, sentence_that_asks
from services.answer.search.units import CutChunk

LEAD_WORDS: Final = 25
RUN_WORDS: Final = 240
"""A list of steps of no more is said whole, whatever parts it: code, or the end of a passage."""
MORE_WORDS: Final = 30
"""Words up to which an answer is filled with the sentences that follow in its paragraph."""
AFTER_STEPS: Final = 20
"""Words of the sentence after a list of steps that still belongs to it."""
WHOLE_ROWS: Final = 6
WHOLE_CELLS: Final = 18
"""A table of no more is said whole, where a question names none of its rows."""

_WHOLE = re.compile(r"(?<![\w.,])\d+(?![\w.,]?\d)")
"""A whole number alone, by which a table's row may be named: an error's code, not a price."""


class Context:
    """The units of what is packed as a reader meets them: passages that follow each other in one
    section are read as one."""

    def __init__(
        self, units: Sequence[Unit], pages: Sequence[CutChunk], text: str, last: str
    ) -> None:
        """`text` is the question, `last` its last message."""
        self._text, self._last = text, last
        asking = sentence_that_asks(last)
        self._how = asked.read(asking).steps or not is_question(asking)
        self._sections: dict[int, list[Unit]] = {}
        for marks in _sections(pages):
            read = [unit for mark in marks for unit in units if unit.mark == mark]
            self._sections |= dict.fromkeys(marks, read)

    def together(self, one: Unit, two: Unit) -> bool:
        """Returns whether the two stand in one section."""
        return self._sections[one.mark] is self._sections[two.mark]

    def of(self, unit: Unit) -> list[Unit]:
        """Returns the unit and what a reader needs beside it, in their order."""
        section = self._sections[unit.mark]
        if unit.piece.cells:
            return _rows(unit, section, self._text, self._last)
        whole = self.steps(unit)
        at = section.index(whole[0])
        before = section[at - 1] if at else None
        if before is None or not _follows(before, whole[0]):
            return whole
        told = unit.piece.kind in ("sentence", "step") and before.piece.kind == unit.piece.kind
        if told and unit.leans and _block(before) == _block(unit):
            return [before, unit]
        if unit.piece.kind in ("steps", "code", "list", "item"):
            others = (each for each in reversed(section[:at]) if _block(each) != _block(whole[0]))
            lead = next(others, None)
            if lead is not None and leads(lead.piece) and lead.piece.words <= LEAD_WORDS:
                return [lead, *whole]
        return whole

    def steps(self, unit: Unit) -> list[Unit]:
        """Returns all steps of the list that the unit is part of, with what stands between them.
        The unit alone, where it is none, they are too many, or another thing is asked than how
        something is done."""
        if unit.piece.kind != "steps":
            return [unit]
        section = [each for each in self._sections[unit.mark] if each.piece.kind != "step"]
        parts = [each for each in section if each.piece.kind == "steps"]
        first = last = parts.index(unit)
        while self._how and first and _goes_on(parts[first - 1], parts[first]):
            first -= 1
        while self._how and last + 1 < len(parts) and _goes_on(parts[last], parts[last + 1]):
            last += 1
        whole = section[section.index(parts[first]) : _end(parts[last], section)]
        whole = [each for each in whole if each.piece.kind != "list"]
        if sum(each.piece.words for each in whole) <= RUN_WORDS:
            return whole
        return section[section.index(unit) : _end(unit, section)]

    def after(self, chosen: list[Unit], most: int) -> list[Unit]:
        """Returns a short sentence with the next ones of its paragraph; steps with the sentence
        after them."""
        last = chosen[-1]
        section = self._sections[last.mark]
        words = sum(unit.piece.words for unit in chosen)
        for unit in section[section.index(last) + 1 :]:
            if unit.piece.kind == "step" and last.piece.kind == "steps":
                continue
            same = _block(unit) == _block(last) and last.piece.kind == "sentence"
            after = _next_block(last, unit) and last.piece.kind == "steps"
            room = min(most, MORE_WORDS) if same else words + AFTER_STEPS
            words += unit.piece.words
            if not (same or after) or unit.piece.kind != "sentence" or words > room:
                break
            if unit.piece.shown.endswith((":", "?", "：", "？", "؟")):
                break
            chosen = [*chosen, unit]
            if after:
                break
        return chosen


def _sections(pages: Sequence[CutChunk]) -> list[list[int]]:
    """Returns the marks of the pages, those together, in their order, that follow each other in
    one section of a document's version."""

    def place(mark: int) -> tuple[str, int, tuple[str, ...], int]:
        candidate = pages[mark - 1].candidate
        chunk = candidate.chunk
        return chunk.document, candidate.version, chunk.heading_path, chunk.position

    runs: list[list[int]] = []
    for mark in sorted(range(1, len(pages) + 1), key=place):
        *section, at = place(mark)
        if runs and [*section, at - 1] == [*place(runs[-1][-1])]:
            runs[-1].append(mark)
        else:
            runs.append([mark])
    return runs


def _block(unit: Unit) -> tuple[int, int]:
    return unit.mark, unit.piece.block


def _follows(before: Unit, unit: Unit) -> bool:
    """Returns whether nothing stands between the two."""
    return unit.piece.place == (before.piece.place + 1 if before.mark == unit.mark else 0)


def _next_block(before: Unit, unit: Unit) -> bool:
    return unit.piece.block == (before.piece.block + 1 if before.mark == unit.mark else 0)


def _end(steps: Unit, section: Sequence[Unit]) -> int:
    """Returns the place behind the steps, and behind the code that the last of them leads to."""
    end = section.index(steps) + 1
    leading = steps.piece.shown.rstrip("*_ ").endswith(":")
    return end + (leading and end < len(section) and section[end].piece.kind == "code")


def _goes_on(steps: Unit, more: Unit) -> bool:
    return steps.piece.numbers[1] + 1 == more.piece.numbers[0]


def _rows(unit: Unit, section: Sequence[Unit], text: str, last: str) -> list[Unit]:
    """Returns the rows of the unit's table that the question names, by its last message or else
    by what it leans on. Where it names none, the unit; but all of a small table, where nothing
    that is asked tells one of its rows from another."""
    rows = [u for u in section if _block(u) == _block(unit) and u.piece.cells]
    for names in map(_names, (last, text)):
        named = [u for u in rows if not names.isdisjoint(_names(u.piece.cells[0]))]
        if named and len(named) <= max(1, len(rows) / 2):
            return named
    wanted = _names(text) | _names(last)
    columns = _names(" ".join(unit.piece.head[1:])) if len(unit.piece.head) > 2 else set()
    if any(map(str.isdigit, text)) or not wanted.isdisjoint(columns):
        return [unit]
    small = len(rows) <= WHOLE_ROWS and sum(len(u.piece.cells) for u in rows) <= WHOLE_CELLS
    own = [_names(" ".join(u.piece.cells)) for u in rows]
    telling = frozenset[str]().union(*own) - own[0].intersection(*own)
    return rows if small and telling.isdisjoint(wanted) else [unit]


def _names(text: str) -> set[str]:
    """Returns the words and figures by which a row can be named."""
    return {*words_of(text), *_WHOLE.findall(text)}
