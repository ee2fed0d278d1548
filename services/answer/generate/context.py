"""What a unit cannot be understood without: the sentence that it leans on, what leads to it, the
rest of its steps, the other rows that the question names."""

import re
from collections.abc import Sequence
from typing import Final

from services.answer.generate import asked
from services.answer.generate.weigh import Unit, leads, words_of
from services.answer.search.asks import is_question, sentence_that_asks
from services.answer.search.rest import gives_cause, is_solution, solves, tells_trouble
from services.answer.search.units import LIST_WORDS, CutChunk, Piece, numbered
from twofold.index.contract import Chunk

LEAD_WORDS: Final = 25
LONG_LEAD: Final = 40
"""Words of a sentence that leads to what is said: of more where it says how something is done."""
RUN_WORDS: Final = 240
"""Steps of no more are said whole, whatever parts them: code, a section, the end of a passage."""
PROCEDURE_WORDS: Final = 360
"""The same where somebody wants to be told all that has to be done."""
SUBJECT: Final = 3
"""Words of a sentence or an item among which it names what it is about."""
VALUED: Final = 2.0
"""How far a piece with the value that is asked for may stand behind one without (log odds)."""
LISTED: Final = 0.5
"""How far a list may stand behind one of its items (log odds) and still be said whole."""
MORE_WORDS: Final = 30
"""Words up to which an answer is filled with the sentences that follow in its paragraph."""
PARAGRAPH_WORDS: Final = 60
"""Words of a paragraph of no more are said from its beginning on, where it says how to do it."""
AFTER_STEPS: Final = 20
"""Words of the sentence after a list of steps that still belongs to it."""
BACK: Final = 2
"""Sentences before one that each lean on the one before them."""
UNLIKELY: Final = -1.0
"""Log odds below which the reader holds a row for no answer."""
WHOLE_ROWS: Final = 6
COLUMN_ROWS: Final = 12
"""Rows of a table of no more are all said, where nothing but one of its columns is asked for."""
WHOLE_CELLS: Final = 18
"""A table of no more is said whole, where a question names none of its rows."""

_TOLD_EXACTLY: Final = frozenset({"money", "time"})
"""Kinds of values of which a piece plainly says one or none."""
_WHOLE = re.compile(r"(?<![\w.,])\d+(?![\w.,]?\d)")
"""A whole number alone, by which a table's row may be named: an error's code, not a price."""
_STEP = re.compile(r"(?:step|part|schritt|teil)\s*(\d{1,2})\b", re.IGNORECASE)
_SAME = re.compile(r"\b(?:it|them)\b", re.IGNORECASE)
"""Headings of a section that goes on with the steps of the one before."""
_BELOW = re.compile(
    r"\b(?:tables?|values?|examples?|commands?|code|query|list) (?:shown |given )?below\b"
    r"|\b(?:the|these|this) following (?:table|example|command|code|query|values?)\b"
    r"|\b(?:all|any|each|one|both|some) of the following\b"
    r"|\b(?:do|set|take|follow|try|perform|complete) the following\b|\bas follows\b"
    r"|\bin der (?:folgenden )?tabelle\b",
    re.IGNORECASE,
)
"""Words of what stands next."""
_REPRODUCES = re.compile(r"\breproduc", re.IGNORECASE)
_MENDS = re.compile(r"\b(?:patch|fix|solve|resolve|workaround)", re.IGNORECASE)
"""Words of a page's opening that says what to do about its trouble."""
_ASIDE: Final = ("**Info", "**Hinweis")
"""Beginnings of what an author set apart."""
_ABOUT = re.compile(
    r"\A\W*+th(?:is|e) (?:article|topic|page|document|guide)s? (?:\w+ ){0,2}?"
    r"(?:provides?|gives?|recommends?|explains?|describes?|discusses?|talks?|suggests?|offers?|shows?"
    r"|covers?|is about|contains?|helps?)\b",
    re.IGNORECASE,
)
"""What a page says of itself."""


class Context:
    """The units of what is packed as a reader meets them: passages that follow each other in one
    section are read as one."""

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
        self._text, self._last, self._pages = text, last, pages
        asking = sentence_that_asks(last)
        self._wants = asked.read(asking)
        self._doing = asked.asks_to_do(last)
        self._how = self._doing or self._wants.steps or not is_question(asking)
        self.old = old
        self._before = {(each.mark, each.piece.place): each for each in (*old, *units)}
        self._lists: dict[int, dict[int, Piece]] = {}
        self._sections: dict[int, list[Unit]] = {}
        self._marks = _sections(pages)
        for marks in self._marks:
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
        if len(whole) == 1 and unit.piece.kind in ("sentence", "step"):
            whole = self._led(unit)
        elif whole[0].piece.kind in ("steps", "code", "list", "item"):
            whole = [*self._lead(whole[0]), *whole]
        whole = self._with_below(whole)
        if self._doing and any(each.piece.kind == "steps" for each in whole):
            return self._with_sections(whole)
        return whole

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
        own = next((each for each in parts if _block(each) == _block(unit)), None)
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

    def _folded(self, section: Sequence[Unit]) -> list[Unit]:
        """Returns the units with each list of numbered items whole, whatever its length; not those
        of a policy, whose clauses look the same."""
        found: list[Unit] = []
        for unit in section:
            piece = self._numbered(unit.mark).get(unit.piece.block)
            if piece is None:
                found.append(unit)
            elif not found or _block(found[-1]) != _block(unit):
                found.append(unit if unit.piece.kind == "steps" else unit._replace(piece=piece))
        return found

    def _numbered(self, mark: int) -> dict[int, Piece]:
        if mark not in self._lists:
            chunk = self._pages[mark - 1].candidate.chunk
            self._lists[mark] = {} if chunk.kind == "policy" else numbered(chunk)
        return self._lists[mark]

    def _led(self, unit: Unit) -> list[Unit]:
        """Returns the sentence below those that it leans on, or below the one that holds the value
        that is asked for."""
        found = [unit]
        while len(found) <= BACK:
            first = found[0]
            before = self._just_before(first)
            if before is None or before.piece.kind != unit.piece.kind:
                break
            same = _block(before) == _block(first)
            if not same and not (first.joins and _next_block(before, first)):
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
        pieces = self._pages[unit.mark - 1].pieces
        same = (each for each in pieces if each.place == place and each.kind == "step")
        return next((unit._replace(piece=each) for each in same), None)

    def paragraph(self, told: list[Unit], most: int) -> list[Unit]:
        """Returns sentences with all of their paragraph, if that is short, and what it leads to;
        where they say how something is done, below the code that they lean on. A value that is
        asked for is told alone."""
        section = self._sections[told[-1].mark]
        if told[0] not in section or told[-1].piece.kind != "sentence":
            return told
        if not self._how and any(self._wants.value_in(each.piece.read) for each in told):
            return told
        whole = [each for each in section if _block(each) == _block(told[-1])]
        whole = [each for each in whole if each in told or not self.promises(each)]
        while whole and whole[0] not in told and (asks(whole[0]) or is_about(whole[0])):
            whole = whole[1:]
        few = sum(each.piece.words for each in whole) <= min(most, PARAGRAPH_WORDS)
        if few and all(each.piece.kind == "sentence" for each in whole):
            led = self._led_to(whole[-1]) if leads(whole[-1].piece) else []
            cut = leads(whole[-1].piece) and not led and whole[-1] not in told
            told = [*(whole[:-1] if cut else whole), *led]
        at = section.index(told[0])
        code = section[at - 1] if at and told[0].leans else None
        if (
            not self._doing
            or code is None
            or code.piece.kind != "code"
            or not _next_block(code, told[0])
        ):
            return told
        return [*self._lead(code), code, *told]

    def _led_to(self, lead: Unit) -> list[Unit]:
        """Returns the short list or code that a sentence leads to."""
        section = self._sections[lead.mark]
        behind = section[section.index(lead) + 1 :]
        if not behind or not _next_block(lead, behind[0]):
            return []
        block = [each for each in behind if _block(each) == _block(behind[0])]
        found = [each for each in block if each.piece.kind in ("list", "steps", "code")]
        found = found or [each for each in block if each.piece.kind == "item"]
        return found if sum(each.piece.words for each in found) <= LIST_WORDS else []

    def _holds_value(self, before: Unit, unit: Unit) -> bool:
        """Returns whether a value is asked for, and the one before has it."""
        wants = self._wants
        return wants.value_in(before.piece.read) and not wants.value_in(unit.piece.read)

    def _lead(self, unit: Unit) -> list[Unit]:
        """Returns the sentence that leads to the unit, if any, below what that leans on."""
        section = self._sections[unit.mark]
        at = next((i for i, each in enumerate(section) if _block(each) == _block(unit)), 0)
        if not at or not _follows(section[at - 1], section[at]):
            return []
        lead = section[at - 1]
        if not leads(lead.piece) or lead.piece.words > (LONG_LEAD if self._doing else LEAD_WORDS):
            return []
        return self._led(lead) if lead.joins else [lead]

    def _with_sections(self, whole: list[Unit]) -> list[Unit]:
        """Returns steps with those of the sections before and behind that are part of the same
        procedure."""
        chunk = self._pages[whole[0].mark - 1].candidate.chunk
        page = sorted(
            (marks for marks in self._marks if self._first(marks).document == chunk.document),
            key=lambda marks: self._first(marks).position,
        )
        at = next(i for i, marks in enumerate(page) if whole[0].mark in marks)
        words = sum(each.piece.words for each in whole)
        for way in (1, -1):
            here = at
            while 0 <= here + way < len(page):
                before, after = sorted((page[here], page[here + way]), key=page.index)
                if not _goes_on(self._first(before[-1:]), self._first(after)):
                    break
                here += way
                section = self._folded(self._sections[page[here][0]])
                first = next((each for each in section if each.piece.kind == "steps"), None)
                if first is None:
                    break
                part = self._with_below([*self._lead(first), *self.steps(first)])
                words += sum(each.piece.words for each in part)
                if words > PROCEDURE_WORDS:
                    break
                whole = [*whole, *part] if way > 0 else [*part, *whole]
        return whole

    def _first(self, marks: Sequence[int]) -> Chunk:
        return self._pages[marks[0] - 1].candidate.chunk

    def _with_below(self, whole: list[Unit]) -> list[Unit]:
        """Returns the units with the table, the code or the list that one of them speaks of, where
        it stands behind them."""
        section = self._sections[whole[-1].mark]
        last = _end_of(whole[-1], section)
        if last < 0 or not any(_BELOW.search(each.piece.shown) for each in whole):
            return whole
        behind = section[last + 1 :]
        if behind and not _next_block(section[last], behind[0]):
            return whole
        behind = behind or self._under(section[last])
        if not behind or behind[0].piece.kind not in ("row", "code", "steps", "item"):
            return whole
        block, kind = _block(behind[0]), behind[0].piece.kind
        found = [each for each in behind if _block(each) == block and each.piece.kind == kind]
        words = sum(each.piece.words for each in (*whole, *found))
        return [*whole, *found] if words <= PROCEDURE_WORDS else whole

    def _under(self, unit: Unit) -> list[Unit]:
        """Returns the units of the passage that follows, where its heading stands below the
        unit's."""
        own = self._pages[unit.mark - 1].candidate.chunk
        for mark, section in self._sections.items():
            chunk = self._pages[mark - 1].candidate.chunk
            if (chunk.document, chunk.position) == (
                own.document,
                own.position + 1,
            ) and chunk.heading_path[: len(own.heading_path)] == own.heading_path:
                return [each for each in section if each.mark == mark]
        return []

    def meant(self, unit: Unit) -> Unit:
        """Returns the unit; but of steps the sentence that holds what is asked for, where nobody
        asks for steps; and the list that an item stands in, where that answers about as well."""
        if unit.piece.kind == "steps" and not self._how:
            own = [u for u in self._sections[unit.mark] if u.piece.kind == "step"]
            own = [u for u in own if _block(u) == _block(unit)]
            return max(own, key=lambda each: each.worth, default=unit)
        if unit.piece.kind == "item" and "polar" not in self._wants.kinds:
            own = [u for u in self._sections[unit.mark] if u.piece.kind == "list"]
            own = [u for u in own if _block(u) == _block(unit) and u.worth > unit.worth - LISTED]
            return next(iter(own), unit)
        return unit

    def remedy(self, unit: Unit) -> list[Unit]:
        """Returns what the unit's page says of the cause and to do about it, where the unit is part
        of the solution, only says what the page is about, or what goes wrong though nobody asks for
        that. Nothing for other units."""
        chunk = self._pages[unit.mark - 1].candidate.chunk
        solution = self._how and is_solution(chunk)
        tells = self._opens(unit.mark) or self._tells_trouble(chunk)
        if not (solution or tells) or self._wants.value_in(unit.piece.read):
            return []
        marks = [m for m in self._sections if self._first([m]).document == chunk.document]
        marks.sort(key=lambda mark: self._first([mark]).position)
        page = {mark: _once(self._sections[mark], mark) for mark in marks}
        told = [each for mark in marks if solves(self._first([mark])) for each in page[mark]]
        if not told and not self._opens(unit.mark):
            opening = [
                each for m in marks[:1] if not self._first([m]).heading_path for each in page[m]
            ]
            mends = any(_MENDS.search(each.piece.shown) for each in opening)
            told = opening if mends and not any(map(is_about, opening)) else []
        if solution and _words(told) > RUN_WORDS:
            told = _once(self._sections[unit.mark], unit.mark)
        if not told or (solution and _words(told) > RUN_WORDS):
            return []
        if _words(told) > RUN_WORDS:
            steps = [each for each in told if each.piece.kind == "steps"]
            first = next((each for each in steps or told if not leads(each.piece)), told[0])
            return self.after(self.paragraph(self.of(first), RUN_WORDS), RUN_WORDS)
        causes = [m for m in marks if gives_cause(self._first([m]))]
        cause = [each for mark in causes for each in page[mark]]
        return [*cause, *told] if _words(cause) <= PARAGRAPH_WORDS else told

    def solves(self, unit: Unit) -> bool:
        """Returns whether the unit stands where its page says what to do."""
        return solves(self._first([unit.mark]))

    def leads_on(self, unit: Unit) -> bool:
        """Returns whether the unit says what goes wrong, and its page what to do about it."""
        chunk = self._pages[unit.mark - 1].candidate.chunk
        return self._tells_trouble(chunk) and bool(self.remedy(unit))

    def _opens(self, mark: int) -> bool:
        """Returns whether the passage opens a page, and says what that is about."""
        if self._first([mark]).heading_path:
            return False
        return any(is_about(each) for each in self._sections[mark] if each.mark == mark)

    def _tells_trouble(self, chunk: Chunk) -> bool:
        return tells_trouble(chunk) and (self._how or asked.asks_why(self._last))

    def both(self, ranked: Sequence[Unit]) -> list[Unit]:
        """Returns what says each of two things that are to be told apart, of one passage; nothing
        where no two are, or one sentence speaks of both."""
        named = asked.told_apart(self._text)
        if named is None:
            return []
        told = [u for u in ranked if u.piece.kind in ("sentence", "item", "row")]
        sides = [
            [u for u in told if _begins_with(u, own) and not _holds(u, other)]
            for own, other in (named, named[::-1])
        ]
        pairs = [(a, b) for a in sides[0] for b in sides[1] if self.together(a, b)]
        best = max(pairs, key=lambda pair: pair[0].worth + pair[1].worth, default=())
        return sorted(best, key=lambda u: (u.mark, u.piece.place))

    def valued(self, ranked: list[Unit]) -> list[Unit]:
        """Returns the units, best first; where a price or a time is asked for and the best one says
        none, what is likely an answer and says one is before it, if about as good."""
        first, wanted = ranked[0], self._wants.kinds & _TOLD_EXACTLY
        if not wanted or wanted & self._wants.answered_by(first.piece.read):
            return ranked
        for unit in ranked[1:]:
            if unit.worth < first.worth - VALUED:
                break
            if unit.likely and wanted & self._wants.answered_by(unit.piece.read):
                return [unit, *(each for each in ranked if each is not unit)]
        return ranked

    def reproduces(self, unit: Unit) -> bool:
        """Returns whether the unit is steps that bring trouble about, and not what ends it."""
        if unit.piece.kind not in ("steps", "step") or _REPRODUCES.search(self._text):
            return False
        return tells_trouble(self._first([unit.mark])) and not self.remedy(unit)

    def empty(self, unit: Unit) -> bool:
        """Returns whether the unit only says what its page is about, and nothing follows."""
        return is_about(unit) and not self.remedy(unit)

    def promises(self, unit: Unit) -> bool:
        """Returns whether the unit speaks of what stands below it, and that is not at hand."""
        told = unit.piece.kind in ("sentence", "step")
        if not told or not _BELOW.search(unit.piece.shown):
            return False
        return self._with_below([unit]) == [unit]

    def after(self, chosen: list[Unit], most: int) -> list[Unit]:
        """Returns a short sentence with the next ones of its paragraph; steps with the sentence
        after them."""
        last = chosen[-1]
        section = self._sections[last.mark]
        words = sum(unit.piece.words for unit in chosen)
        at = section.index(last) if last in section else _end_of(last, section)
        for unit in section[at + 1 :]:
            if last.piece.kind == "steps" and _block(unit) == _block(last):
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


def _words(units: Sequence[Unit]) -> int:
    return sum(unit.piece.words for unit in units)


def _once(section: Sequence[Unit], mark: int) -> list[Unit]:
    """Returns the units of a passage, what stands in another one left out."""
    own = [each for each in section if each.mark == mark and each.piece.kind != "step"]
    own = [each for each in own if not each.piece.shown.startswith(_ASIDE)]
    lists = {each.piece.block for each in own if each.piece.kind == "list"}
    return [u for u in own if u.piece.kind != "item" or u.piece.block not in lists]


def _begins_with(unit: Unit, root: str) -> bool:
    """Returns whether one of the first words of the unit has such a beginning."""
    words = words_of(unit.piece.cells[0] if unit.piece.cells else unit.piece.shown)[:SUBJECT]
    return any(word.startswith(root) for word in words)


def _holds(unit: Unit, root: str) -> bool:
    return any(word.startswith(root) for word in words_of(unit.piece.read))


def asks(unit: Unit) -> bool:
    """Returns whether the sentence is a question: what follows it says something."""
    return unit.piece.kind == "sentence" and unit.piece.shown.endswith(("?", "？", "؟"))


def is_about(unit: Unit) -> bool:
    """Returns whether the sentence only says what its page is about."""
    return unit.piece.kind == "sentence" and _ABOUT.match(unit.piece.shown) is not None


def names(text: str) -> set[str]:
    """Returns the words and figures by which a row or a column can be named; one and many alike."""
    words = (word.removesuffix("s") if len(word) > 3 else word for word in words_of(text))
    return {*words, *_WHOLE.findall(text)}


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
    if steps.piece.shown.rstrip("*_ ").endswith(":"):
        while end < len(section) and section[end].piece.kind == "code":
            end += 1
    return end


def _end_of(unit: Unit, section: Sequence[Unit]) -> int:
    """Returns the place of the last unit of a block; -1 where none is left of it."""
    return max((i for i, each in enumerate(section) if _block(each) == _block(unit)), default=-1)


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


def _rows(unit: Unit, section: Sequence[Unit], text: str, last: str) -> list[Unit]:
    """Returns the rows of the unit's table that the question names, by its last message or else
    by what it leans on. Where it names none, the unit; but all of a small table, where neither the
    reader nor anything that is asked tells one of its rows from another."""
    rows = [u for u in section if _block(u) == _block(unit) and u.piece.cells]
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
