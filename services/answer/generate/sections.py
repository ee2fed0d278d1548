"""What is packed as a reader meets it: passages that follow each other in one section are read as
one."""

from collections.abc import Sequence

from services.answer.generate.weigh import Unit
from services.answer.search.units import CutChunk
from twofold.index.contract import Chunk


class Sections:
    """The units of each section, in their order."""

    def __init__(self, units: Sequence[Unit], pages: Sequence[CutChunk]) -> None:
        self.pages = pages
        self.marks = _marks(pages)
        """Of each section, the marks of its passages, in their order."""
        self._of: dict[int, list[Unit]] = {}
        for marks in self.marks:
            read = [unit for mark in marks for unit in units if unit.mark == mark]
            self._of |= dict.fromkeys(marks, read)

    def __getitem__(self, mark: int) -> list[Unit]:
        """Returns the units of the section that the passage with this mark is part of."""
        return self._of[mark]

    def chunk(self, mark: int) -> Chunk:
        return self.pages[mark - 1].candidate.chunk

    def together(self, one: Unit, two: Unit) -> bool:
        """Returns whether the two stand in one section."""
        return self._of[one.mark] is self._of[two.mark]

    def of_document(self, document: str) -> list[Sequence[int]]:
        """Returns the marks of the document's sections, in its order."""
        found = [marks for marks in self.marks if self.chunk(marks[0]).document == document]
        return sorted(found, key=lambda marks: self.chunk(marks[0]).position)

    def under(self, unit: Unit) -> list[Unit]:
        """Returns the units of the passage that follows, where its heading stands below the
        unit's."""
        own = self.chunk(unit.mark)
        for mark, section in self._of.items():
            chunk = self.chunk(mark)
            next_one = (chunk.document, chunk.position) == (own.document, own.position + 1)
            if next_one and chunk.heading_path[: len(own.heading_path)] == own.heading_path:
                return [each for each in section if each.mark == mark]
        return []


def words_in(units: Sequence[Unit]) -> int:
    return sum(unit.piece.words for unit in units)


def block_of(unit: Unit) -> tuple[int, int]:
    return unit.mark, unit.piece.block


def follows(before: Unit, unit: Unit) -> bool:
    """Returns whether nothing stands between the two."""
    return unit.piece.place == (before.piece.place + 1 if before.mark == unit.mark else 0)


def next_block(before: Unit, unit: Unit) -> bool:
    return unit.piece.block == (before.piece.block + 1 if before.mark == unit.mark else 0)


def end_of(unit: Unit, section: Sequence[Unit]) -> int:
    """Returns the place of the last unit of a block; -1 where none is left of it."""
    return max(
        (i for i, each in enumerate(section) if block_of(each) == block_of(unit)), default=-1
    )


def _marks(pages: Sequence[CutChunk]) -> list[list[int]]:
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
