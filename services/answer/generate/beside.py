"""What stands beside a unit that it cannot be understood without: the sentence that it leans on,
the one that leads to it, the table, list or code that it speaks of."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate.asked import WantedAnswer
from services.answer.generate.sections import (
    Sections,
    block_of,
    end_of,
    follows,
    next_block,
)
from services.answer.generate.weigh import Unit, leads
from services.answer.search.units import LIST_WORDS

LEAD_WORDS: Final = 25
LONG_LEAD: Final = 40
"""Words of a sentence that leads to what is said: of more where it says how something is done."""
PROCEDURE_WORDS: Final = 360
"""The same where somebody wants to be told all that has to be done."""
BACK: Final = 2
"""Sentences before one that each lean on the one before them."""

_BELOW = re.compile(
    r"\b(?:tables?|values?|examples?|commands?|code|query|list) (?:shown |given )?below\b"
    r"|\b(?:the|these|this) following (?:table|example|command|code|query|values?)\b"
    r"|\b(?:all|any|each|one|both|some) of the following\b"
    r"|\b(?:do|set|take|follow|try|perform|complete) the following\b|\bas follows\b"
    r"|\bin der (?:folgenden )?tabelle\b",
    re.IGNORECASE,
)
"""Words of what stands next."""


class Beside:
    """The neighbours of units."""

    def __init__(
        self, sections: Sections, every: Sequence[Unit], wants: WantedAnswer, *, doing: bool
    ) -> None:
        """`every` are the units that may be said and those that an earlier message said; `doing`:
        all that has to be done is asked for."""
        self._sections, self._wants, self._doing = sections, wants, doing
        self._before = {(each.mark, each.piece.place): each for each in every}

    def led(self, unit: Unit) -> list[Unit]:
        """Returns the sentence below those that it leans on, or below the one that holds the value
        that is asked for."""
        found = [unit]
        while len(found) <= BACK:
            first = found[0]
            before = self._just_before(first)
            if before is None or before.piece.kind != unit.piece.kind:
                break
            same = block_of(before) == block_of(first)
            if not same and not (first.joins and next_block(before, first)):
                break
            fresh = before in self._sections[first.mark] or before.piece.kind == "step"
            needed = first.joins or (fresh and (first.leans or self._holds_value(before, first)))
            if not needed:
                break
            found.insert(0, before)
        return found

    def _just_before(self, unit: Unit) -> Unit | None:
        """Returns what stands before the unit; of a step also a sentence that is no answer."""
        place = unit.piece.place - 1
        before = self._before.get((unit.mark, place))
        if before is not None or unit.piece.kind != "step":
            return before
        pieces = self._sections.pages[unit.mark - 1].pieces
        same = (each for each in pieces if each.place == place and each.kind == "step")
        return next((unit._replace(piece=each) for each in same), None)

    def _holds_value(self, before: Unit, unit: Unit) -> bool:
        """Returns whether a value is asked for, and the one before has it."""
        wants = self._wants
        return wants.value_in(before.piece.read) and not wants.value_in(unit.piece.read)

    def lead(self, unit: Unit) -> list[Unit]:
        """Returns the sentence that leads to the unit, if any, below what that leans on."""
        section = self._sections[unit.mark]
        at = next((i for i, each in enumerate(section) if block_of(each) == block_of(unit)), 0)
        if not at or not follows(section[at - 1], section[at]):
            return []
        lead = section[at - 1]
        if not leads(lead.piece) or lead.piece.words > (LONG_LEAD if self._doing else LEAD_WORDS):
            return []
        return self.led(lead) if lead.joins else [lead]

    def led_to(self, lead: Unit) -> list[Unit]:
        """Returns the short list or code that a sentence leads to."""
        section = self._sections[lead.mark]
        behind = section[section.index(lead) + 1 :]
        if not behind or not next_block(lead, behind[0]):
            return []
        block = [each for each in behind if block_of(each) == block_of(behind[0])]
        found = [each for each in block if each.piece.kind in ("list", "steps", "code")]
        found = found or [each for each in block if each.piece.kind == "item"]
        return found if sum(each.piece.words for each in found) <= LIST_WORDS else []

    def with_below(self, whole: list[Unit]) -> list[Unit]:
        """Returns the units with the table, the code or the list that one of them speaks of, where
        it stands behind them."""
        section = self._sections[whole[-1].mark]
        last = end_of(whole[-1], section)
        if last < 0 or not any(_BELOW.search(each.piece.shown) for each in whole):
            return whole
        behind = section[last + 1 :]
        if behind and not next_block(section[last], behind[0]):
            return whole
        behind = behind or self._sections.under(section[last])
        if not behind or behind[0].piece.kind not in ("row", "code", "steps", "item"):
            return whole
        block, kind = block_of(behind[0]), behind[0].piece.kind
        found = [each for each in behind if block_of(each) == block and each.piece.kind == kind]
        words = sum(each.piece.words for each in (*whole, *found))
        return [*whole, *found] if words <= PROCEDURE_WORDS else whole

    def promises(self, unit: Unit) -> bool:
        """Returns whether the unit speaks of what stands below it, and that is not at hand."""
        told = unit.piece.kind in ("sentence", "step")
        if not told or not _BELOW.search(unit.piece.shown):
            return False
        return self.with_below([unit]) == [unit]
