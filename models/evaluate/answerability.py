"""The answerability eval: does the assistant know which questions its help center answers?

Whole questions, end to end, on any corpus: what is judged is the probability that the decision
used, and the action that came of it.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from models.evaluate.labelled import QUERIES, LabelledTurn, rows_of
from models.stats import Estimate, auroc
from models.suite.client import AnswerClient
from twofold.errors import InvalidInput

LONGEST = 4000
"""Characters of a question that are asked; the service refuses longer ones."""
MOST_TURNS = 20


class AnswerabilityCase(NamedTuple):
    """A question, the turns before it, and whether the corpus answers it."""

    text: str
    history: tuple[LabelledTurn, ...]
    answerable: bool


class AnswerabilityResult(NamedTuple):
    """What became of a question: the action, and the probability that the sources answer it."""

    action: str
    p_answerable: float


@dataclass(frozen=True, slots=True)
class AnswerabilityReport:
    """AUROC of the probability; actions of answerable and of unanswerable questions, by count."""

    area: Estimate
    answerable: Mapping[str, int]
    unanswerable: Mapping[str, int]

    def data(self) -> dict[str, Any]:
        area = self.area.data()
        return {
            "n": area["n"],
            "auroc": area["value"],
            "auroc_ci": area["ci"],
            "answerable": dict(self.answerable),
            "unanswerable": dict(self.unanswerable),
        }


def load_asked(folder: Path) -> list[AnswerabilityCase]:
    """Queries that say whether they are `answerable`; others are left out.

    Raises NotFound, or InvalidInput naming file, line and what to do.
    """
    path = folder / QUERIES
    asked = []
    for row in rows_of(path):
        answerable = row.value.get("answerable")
        if answerable is None:
            continue
        if not isinstance(answerable, bool):
            raise InvalidInput(f"{path}: line {row.line}: `answerable` is neither true nor false.")
        asked.append(AnswerabilityCase(row.string("text"), row.history(), answerable))
    if not asked:
        raise InvalidInput(
            f"No query in {path} says whether it is answerable. Give each that you want measured"
            ' "answerable": true or false.'
        )
    return asked


def report(
    asked: Sequence[AnswerabilityCase], answered: Sequence[AnswerabilityResult]
) -> AnswerabilityReport:
    truth = [question.answerable for question in asked]
    counts = {
        kind: Counter(each.action for each, t in zip(answered, truth, strict=True) if t is kind)
        for kind in (True, False)
    }
    return AnswerabilityReport(
        auroc([each.p_answerable for each in answered], truth, range(len(truth))),
        *(dict(sorted(counts[kind].items())) for kind in (True, False)),
    )


async def ask_all(
    client: AnswerClient,
    asked: Sequence[AnswerabilityCase],
    locale: str,
    progress: Callable[[int], None],
) -> list[AnswerabilityResult]:
    """Asks every question in a conversation of its own."""
    answered = []
    for done, question in enumerate(asked, start=1):
        turns = [{"role": turn.role, "text": turn.text} for turn in question.history]
        reply = await client.chat(
            {
                "message": question.text[:LONGEST],
                "history": turns[-MOST_TURNS:],
                "locale": locale,
                "evaluation": True,
            }
        )
        record = await client.record(reply["answer_id"])
        odds = record["signals"]["evidence"]["answerable"]
        answered.append(AnswerabilityResult(reply["action"], 1 / (1 + math.exp(-odds))))
        progress(done)
    return answered
