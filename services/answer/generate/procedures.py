"""Whole procedures: a list of steps over the passages and the sections that it goes through."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate.beside import PROCEDURE_WORDS, Beside
from services.answer.generate.sections import Sections, block_of
from services.answer.generate.weigh import Unit
from services.answer.search.units import Piece, numbered
from twofold.index.contract import Chunk

RUN_WORDS: Final = 240
"""Steps of no more are said whole, whatever parts them: code, a section, the end of a passage."""

_STEP = re.compile(r"(?:step|part|schritt|teil)\s*(\d{1,2})\b", re.IGNORECASE)
_SAME = re.compile(r"\b(?:it|them)\b", re.IGNORECASE)
"""Headings of a section that goes on with the steps of the one before."""


class Procedures:
    """The steps of what is packed."""

    def __init__(self, sections: Sections, beside: Beside, *, doing: bool, how: bool) -> None:
        """`how`: how something is done is asked for; `doing`: all that has to be done."""
        self._sections, self._beside, self._doing, self._how = sections, beside, doing, how
        self._lists: dict[int, dict[int, Piece]] = {}

    def steps(self, unit: Unit) -> list[Unit]:
        """Returns all steps of the list that the unit is part of, with what stands between them.
        The unit alone, where it is none, they are too many, or another thing is asked than how
        something is done."""
        section = [each for each in self._sections[unit.mark] if each.piece.kind != "step"]
        if self._doing:
            section = self._folded(section)
        elif unit.piece.kind != "steps":
            return [unit]
        parts = [each for each in section if each.piece.kind == "steps"]
        own = next((each for each in parts if block_of(each) == block_of(unit)), None)
        if own is None:
            return [unit]
        run = next(run for run in _runs(parts) if own in run) if self._how else [own]
        if unit.piece.kind != "steps" and not _begins(run[0]):
            return [unit]
        whole = section[section.index(run[0]) : _end(run[-1], section)]
        whole = [each for each in whole if each.piece.kind != "list"]
        most = PROCEDURE_WORDS if self._doing else RUN_WORDS
        if sum(each.piece.words for each in whole) <= most:
            return whole
        if unit.piece.kind != "steps":
            return [unit]
        return section[section.index(own) : _end(own, section)]

    def with_sections(self, whole: list[Unit]) -> list[Unit]:
        """Returns steps with those of the sections before and behind that are part of the same
        procedure."""
        chunk_of = self._sections.chunk
        page = self._sections.of_document(chunk_of(whole[0].mark).document)
        at = next(i for i, marks in enumerate(page) if whole[0].mark in marks)
        words = sum(each.piece.words for each in whole)
        for way in (1, -1):
            here = at
            while 0 <= here + way < len(page):
                before, after = sorted((page[here], page[here + way]), key=page.index)
                if not _goes_on(chunk_of(before[-1]), chunk_of(after[0])):
                    break
                here += way
                section = self._folded(self._sections[page[here][0]])
                first = next((each for each in section if each.piece.kind == "steps"), None)
                if first is None:
                    break
                part = self._beside.with_below([*self._beside.lead(first), *self.steps(first)])
                words += sum(each.piece.words for each in part)
                if words > PROCEDURE_WORDS:
                    break
                whole = [*whole, *part] if way > 0 else [*part, *whole]
        return whole

    def _folded(self, section: Sequence[Unit]) -> list[Unit]:
        """Returns the units with each list of numbered items whole, whatever its length; not those
        of a policy, whose clauses look the same."""
        found: list[Unit] = []
        for unit in section:
            piece = self._numbered(unit.mark).get(unit.piece.block)
            if piece is None:
                found.append(unit)
            elif not found or block_of(found[-1]) != block_of(unit):
                found.append(unit if unit.piece.kind == "steps" else unit._replace(piece=piece))
        return found

    def _numbered(self, mark: int) -> dict[int, Piece]:
        if mark not in self._lists:
            chunk = self._sections.chunk(mark)
            self._lists[mark] = {} if chunk.kind == "policy" else numbered(chunk)
        return self._lists[mark]


def _end(steps: Unit, section: Sequence[Unit]) -> int:
    """Returns the place behind the steps, and behind the code that the last of them leads to."""
    end = section.index(steps) + 1
    if steps.piece.shown.rstrip("*_ ").endswith(":"):
        while end < len(section) and section[end].piece.kind == "code":
            end += 1
    return end


def _begins(steps: Unit) -> bool:
    """Returns whether they are the first ones of a list."""
    indent, (first, _) = next(iter(steps.piece.counts.items()))
    return (indent, first) == (0, 1)


def _runs(parts: Sequence[Unit]) -> list[list[Unit]]:
    """Returns the steps of a section, those together of which the numbers count on, however far
    they are set in."""
    runs: list[list[Unit]] = []
    counted: dict[int, int] = {}
    for unit in parts:
        counts = unit.piece.counts
        indent, (first, _) = next(iter(counts.items()))
        if runs and counted.get(indent) == first - 1:
            runs[-1].append(unit)
        else:
            runs.append([unit])
            counted = {}
        counted |= {indent: last for indent, (_, last) in counts.items()}
    return runs


def _goes_on(before: Chunk, after: Chunk) -> bool:
    """Returns whether the steps of one section go on in another: their headings count on, or the
    second does something to what the first one made."""
    one, two = before.heading_path, after.heading_path
    if not one or not two or one[:-1] != two[:-1]:
        return False
    if (step := _STEP.match(one[-1])) and (following := _STEP.match(two[-1])):
        return int(following[1]) == int(step[1]) + 1
    return _SAME.search(two[-1]) is not None and after.position == before.position + 1
