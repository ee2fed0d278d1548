"""What lint found, and where the rows stand."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from models.data.rows import MANIFEST, SPLITS, Dataset, Row, Split


@dataclass(frozen=True, slots=True)
class RowFinding:
    """`concern` is the check that found it; a finding on a whole dataset stands at its manifest."""

    file: str
    line: int
    id: str
    concern: str
    reason: str
    fix: str

    def data(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


class RowPlace(NamedTuple):
    """A row and where it stands."""

    split: Split
    line: int
    row: Row

    @property
    def name(self) -> str:
        return f"{self.split}.jsonl line {self.line}"

    def finding(self, concern: str, reason: str, fix: str) -> RowFinding:
        return RowFinding(f"{self.split}.jsonl", self.line, self.row.id, concern, reason, fix)


def places(dataset: Dataset) -> list[RowPlace]:
    """Returns every row with its place, in the order of the files."""
    return [
        RowPlace(split, line, row)
        for split in SPLITS
        for line, row in enumerate(dataset.rows[split], start=1)
    ]


def of_dataset(concern: str, reason: str, fix: str) -> RowFinding:
    return RowFinding(MANIFEST, 1, "", concern, reason, fix)
