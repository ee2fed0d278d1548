"""From what goes wrong to what is done about it: a page's solution in place of its problem."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate import asked
from services.answer.generate.context import PARAGRAPH_WORDS, Context
from services.answer.generate.procedures import RUN_WORDS
from services.answer.generate.sections import words_in
from services.answer.generate.weigh import Unit, is_about, leads
from services.answer.search.rest import gives_cause, is_solution, solves, tells_trouble
from twofold.index.contract import Chunk

_REPRODUCES = re.compile(r"\breproduc", re.IGNORECASE)
_MENDS = re.compile(r"\b(?:patch|fix|solve|resolve|workaround)", re.IGNORECASE)
"""Words of a page's opening that says what to do about its trouble."""
_ASIDE: Final = ("**Info", "**Hinweis")
"""Beginnings of what an author set apart."""


class Remedies:
    """What the pages of a context say to do."""

    def __init__(self, context: Context) -> None:
        self._context, self._sections = context, context.sections

    def of(self, unit: Unit) -> list[Unit]:
        """Returns what the unit's page says of the cause and to do about it, where the unit is part
        of the solution, only says what the page is about, or what goes wrong though nobody asks for
        that. Nothing for other units."""
        chunk = self._sections.chunk(unit.mark)
        solution = self._context.how and is_solution(chunk)
        tells = self._opens(unit.mark) or self._tells_trouble(chunk)
        if not (solution or tells) or self._context.wants.value_in(unit.piece.read):
            return []
        marks = [m for part in self._sections.of_document(chunk.document) for m in part]
        marks.sort(key=lambda mark: self._sections.chunk(mark).position)
        page = {mark: _once(self._sections[mark], mark) for mark in marks}
        told = [each for mark in marks if solves(self._sections.chunk(mark)) for each in page[mark]]
        if not told and not self._opens(unit.mark):
            opening = [
                each
                for m in marks[:1]
                if not self._sections.chunk(m).heading_path
                for each in page[m]
            ]
            mends = any(_MENDS.search(each.piece.shown) for each in opening)
            told = opening if mends and not any(map(is_about, opening)) else []
        if solution and words_in(told) > RUN_WORDS:
            told = _once(self._sections[unit.mark], unit.mark)
        if not told or (solution and words_in(told) > RUN_WORDS):
            return []
        if words_in(told) > RUN_WORDS:
            steps = [each for each in told if each.piece.kind == "steps"]
            first = next((each for each in steps or told if not leads(each.piece)), told[0])
            return self._context.after(
                self._context.paragraph(self._context.of(first), RUN_WORDS), RUN_WORDS
            )
        causes = [m for m in marks if gives_cause(self._sections.chunk(m))]
        cause = [each for mark in causes for each in page[mark]]
        return [*cause, *told] if words_in(cause) <= PARAGRAPH_WORDS else told

    def solves(self, unit: Unit) -> bool:
        """Returns whether the unit stands where its page says what to do."""
        return solves(self._sections.chunk(unit.mark))

    def leads_on(self, unit: Unit) -> bool:
        """Returns whether the unit says what goes wrong, and its page what to do about it."""
        chunk = self._sections.chunk(unit.mark)
        return self._tells_trouble(chunk) and bool(self.of(unit))

    def reproduces(self, unit: Unit) -> bool:
        """Returns whether the unit is steps that bring trouble about, and not what ends it."""
        if unit.piece.kind not in ("steps", "step") or _REPRODUCES.search(self._context.text):
            return False
        return tells_trouble(self._sections.chunk(unit.mark)) and not self.of(unit)

    def empty(self, unit: Unit) -> bool:
        """Returns whether the unit only says what its page is about, and nothing follows."""
        return is_about(unit) and not self.of(unit)

    def _opens(self, mark: int) -> bool:
        """Returns whether the passage opens a page, and says what that is about."""
        if self._sections.chunk(mark).heading_path:
            return False
        return any(is_about(each) for each in self._sections[mark] if each.mark == mark)

    def _tells_trouble(self, chunk: Chunk) -> bool:
        return tells_trouble(chunk) and (self._context.how or asked.asks_why(self._context.last))


def _once(section: Sequence[Unit], mark: int) -> list[Unit]:
    """Returns the units of a passage, what stands in another one left out."""
    own = [each for each in section if each.mark == mark and each.piece.kind != "step"]
    own = [each for each in own if not each.piece.shown.startswith(_ASIDE)]
    lists = {each.piece.block for each in own if each.piece.kind == "list"}
    return [u for u in own if u.piece.kind != "item" or u.piece.block not in lists]
