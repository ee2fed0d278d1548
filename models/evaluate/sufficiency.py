"""The sufficiency eval: do given passages hold the answer to a question?

The passages are all that there is; what is judged is the probability of the evidence they make.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from models.evaluate.labelled import JsonRow, LabelledTurn, rows_of
from models.stats import Estimate, auroc, caught_at
from twofold.errors import InvalidInput


class Given(NamedTuple):
    """A question, the turns before it, its passages, and whether they answer it."""

    question: str
    history: tuple[LabelledTurn, ...]
    passages: tuple[str, ...]
    label: bool


@dataclass(frozen=True, slots=True)
class SufficiencyReport:
    """`caught`: share of insufficient rows below the threshold that keeps 95% of the others."""

    area: Estimate
    caught: float

    def data(self) -> dict[str, Any]:
        area = self.area.data()
        return {
            "n": area["n"],
            "auroc": area["value"],
            "auroc_ci": area["ci"],
            "caught_at_95_kept": None if self.caught != self.caught else round(self.caught, 4),
        }


def load_given(path: Path) -> list[Given]:
    """Raises NotFound, or InvalidInput naming file, line and what to do."""
    given = []
    for row in rows_of(path):
        label = row.value.get("label")
        if label not in (0, 1):
            raise InvalidInput(
                f"{path}: line {row.line}: `label` is 1 where the passages suffice, else 0."
            )
        passages = _passages(row)
        given.append(Given(row.string("question"), row.history(), passages, bool(label)))
    if not given:
        raise InvalidInput(
            f"{path} is empty. It has one object a line: question, history?, passages, label."
        )
    return given


def report(given: Sequence[Given], scores: Sequence[float]) -> SufficiencyReport:
    truth = [row.label for row in given]
    return SufficiencyReport(auroc(scores, truth, range(len(truth))), caught_at(scores, truth))


def _passages(row: JsonRow) -> tuple[str, ...]:
    """Strings, or objects with a `text` and perhaps a `title`."""
    found = row.value.get("passages")
    texts = []
    for passage in found if isinstance(found, list) else [None]:
        if isinstance(passage, dict):
            passage = "\n".join(str(passage[key]) for key in ("title", "text") if passage.get(key))
        if not isinstance(passage, str):
            raise InvalidInput(
                f"{row.path}: line {row.line} has no `passages`, a list of strings or of objects"
                " with a `text`."
            )
        texts.append(passage)
    return tuple(text for text in texts if text.strip())
