"""What a unit is said with: what it cannot be understood without, the rest of its steps, the other
rows that the question names, the sentences that follow."""

from collections.abc import Sequence
from typing import Final

from services.answer.generate import asked
from services.answer.generate.beside import Beside
from services.answer.generate.procedures import Procedures
from services.answer.generate.rows import rows_apart, rows_named
from services.answer.generate.sections import Sections, block_of, end_of, next_block
from services.answer.generate.weigh import Unit, is_about, leads, words_of
from services.answer.search.asks import is_question, sentence_that_asks
from services.answer.search.units import CutChunk

SUBJECT: Final = 3
"""Words of a sentence or an item among which it names what it is about."""
APART: Final = 4.0
"""How far a row of a table may stand behind the best piece (log odds) whose columns tell two things
apart that are to be."""
VALUED: Final = 2.0
"""How far a piece with the value that is asked for may stand behind one without (log odds)."""
LISTED: Final = 0.5
"""How far a list may stand behind one of its items (log odds) and still be said whole."""
MORE_WORDS: Final = 45
"""Words up to which an answer is filled with the sentences that follow in its paragraph."""
PARAGRAPH_WORDS: Final = 90
"""Words of a paragraph of no more are said from its beginning on, where it says how to do it."""
AFTER_STEPS: Final = 20
"""Words of the sentence after a list of steps that still belongs to it."""


class Context:
    """One question's units in what is packed."""

    def __init__(
        self,
        units: Sequence[Unit],
        pages: Sequence[CutChunk],
        text: str,
        last: str,
        old: Sequence[Unit] = (),
    ) -> None:
        """`text` is the question, `last` its last message; `old` are the units that an earlier
        message said, whether or not they are said again."""
        self.text, self.last, self.old = text, last, old
        asking = sentence_that_asks(last)
        self.wants = asked.read(asking)
        self._doing = asked.asks_to_do(last)
        self.how = self._doing or self.wants.steps or not is_question(asking)
        self.sections = Sections(units, pages)
        every = (*old, *units)
        self.beside = Beside(self.sections, every, self.wants, doing=self._doing)
        self.procedures = Procedures(self.sections, self.beside, doing=self._doing, how=self.how)

    def of(self, unit: Unit) -> list[Unit]:
        """Returns the unit and what a reader needs beside it, in their order."""
        section = self.sections[unit.mark]
        if unit.piece.cells:
            rows = rows_named(unit, section, self.text, self.last)
            priced = [each for each in rows if self.wants.priced_in(each.piece.read)]
            return priced or rows
        whole = self.procedures.steps(unit)
        if len(whole) == 1 and unit.piece.kind in ("sentence", "step"):
            whole = self.beside.led(unit)
        elif whole[0].piece.kind in ("steps", "code", "list", "item"):
            whole = [*self.beside.lead(whole[0]), *whole]
        whole = self.beside.with_below(whole)
        if self._doing and any(each.piece.kind == "steps" for each in whole):
            return self.procedures.with_sections(whole)
        return whole

    def paragraph(self, told: list[Unit], most: int) -> list[Unit]:
        """Returns sentences with all of their paragraph, if that is short, and what it leads to;
        where they say how something is done, below the code that they lean on. A value that is
        asked for is told alone."""
        section = self.sections[told[-1].mark]
        if told[0] not in section or told[-1].piece.kind != "sentence":
            return told
        if not self.how and any(self.wants.value_in(each.piece.read) for each in told):
            return told
        whole = [each for each in section if block_of(each) == block_of(told[-1])]
        whole = [each for each in whole if each in told or not self.beside.promises(each)]
        while whole and whole[0] not in told and (asks(whole[0]) or is_about(whole[0])):
            whole = whole[1:]
        few = sum(each.piece.words for each in whole) <= min(most, PARAGRAPH_WORDS)
        if few and all(each.piece.kind == "sentence" for each in whole):
            led = self.beside.led_to(whole[-1]) if leads(whole[-1].piece) else []
            cut = leads(whole[-1].piece) and not led and whole[-1] not in told
            told = [*(whole[:-1] if cut else whole), *led]
        at = section.index(told[0])
        code = section[at - 1] if at and told[0].leans else None
        if (
            not self._doing
            or code is None
            or code.piece.kind != "code"
            or not next_block(code, told[0])
        ):
            return told
        return [*self.beside.lead(code), code, *told]

    def after(self, chosen: list[Unit], most: int) -> list[Unit]:
        """Returns a short sentence with the next ones of its paragraph; steps with the sentence
        after them."""
        last = chosen[-1]
        section = self.sections[last.mark]
        words = sum(unit.piece.words for unit in chosen)
        at = section.index(last) if last in section else end_of(last, section)
        for unit in section[at + 1 :]:
            if last.piece.kind == "steps" and block_of(unit) == block_of(last):
                continue
            same = block_of(unit) == block_of(last) and last.piece.kind == "sentence"
            after = next_block(last, unit) and last.piece.kind == "steps"
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

    def meant(self, unit: Unit) -> Unit:
        """Returns the unit; but of steps the sentence that holds what is asked for, where nobody
        asks for steps; and the list that an item stands in, where that answers about as well."""
        if unit.piece.kind == "steps" and not self.how:
            own = [u for u in self.sections[unit.mark] if u.piece.kind == "step"]
            own = [u for u in own if block_of(u) == block_of(unit)]
            return max(own, key=lambda each: each.worth, default=unit)
        if unit.piece.kind == "item" and "polar" not in self.wants.kinds:
            own = [u for u in self.sections[unit.mark] if u.piece.kind == "list"]
            own = [
                u for u in own if block_of(u) == block_of(unit) and u.worth > unit.worth - LISTED
            ]
            return next(iter(own), unit)
        return unit

    def both(self, ranked: Sequence[Unit]) -> list[Unit]:
        """Returns what says each of two things that are to be told apart, of one passage; nothing
        where no two are, or one sentence speaks of both."""
        if rows := self._columns_apart(ranked):
            return rows
        named = asked.told_apart(self.text)
        if named is None:
            return []
        told = [u for u in ranked if u.piece.kind in ("sentence", "item", "row")]
        sides = [
            [u for u in told if _begins_with(u, own) and not _holds(u, other)]
            for own, other in (named, named[::-1])
        ]
        pairs = [(a, b) for a in sides[0] for b in sides[1] if self.sections.together(a, b)]
        best = max(pairs, key=lambda pair: pair[0].worth + pair[1].worth, default=())
        return sorted(best, key=lambda u: (u.mark, u.piece.place))

    def _columns_apart(self, ranked: Sequence[Unit]) -> list[Unit]:
        """Returns the rows by which two columns of a table differ that are to be told apart, of the
        best such table that is about as good as the best piece."""
        if not asked.compares(self.text):
            return []
        for unit in ranked:
            if unit.worth < ranked[0].worth - APART:
                break
            if unit.piece.head:
                table = [u for u in self.sections[unit.mark] if block_of(u) == block_of(unit)]
                if rows := rows_apart(table, self.text):
                    return rows
        return []

    def valued(self, ranked: list[Unit]) -> list[Unit]:
        """Returns the units, best first; where a price or a time is asked for and the best one says
        none, what is likely an answer and says one is before it, if about as good."""
        first, wanted = ranked[0], self.wants.kinds & asked.TOLD_EXACTLY
        if not wanted or wanted & self.wants.answered_by(first.piece.read):
            return ranked
        for unit in ranked[1:]:
            if unit.worth < first.worth - VALUED:
                break
            if unit.likely and wanted & self.wants.answered_by(unit.piece.read):
                return [unit, *(each for each in ranked if each is not unit)]
        return ranked


def _begins_with(unit: Unit, root: str) -> bool:
    """Returns whether one of the first words of the unit has such a beginning."""
    words = words_of(unit.piece.cells[0] if unit.piece.cells else unit.piece.shown)[:SUBJECT]
    return any(word.startswith(root) for word in words)


def _holds(unit: Unit, root: str) -> bool:
    return any(word.startswith(root) for word in words_of(unit.piece.read))


def asks(unit: Unit) -> bool:
    """Returns whether the sentence is a question: what follows it says something."""
    return unit.piece.kind == "sentence" and unit.piece.shown.endswith(("?", "？", "؟"))
