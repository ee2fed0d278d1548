"""What an adapter must not know, and what it must read: two probes beside the held-out rows."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from models.data.change import changed
from models.data.rows import MADE, Row
from models.data.sentences import RowPassages, sentences
from models.gate.arms import ArmReply, ModelArm
from models.stats import Estimate, estimate
from models.suite.facts import says
from twofold.reply import split, strip_marks
from twofold.terminal import StepCallback
from twofold.text.numbers import numbers

SEED = 20261127
COPIES = 3
"""Tries at finding numbers in a row that can be changed."""
_WORD = re.compile(r"\w+")
_STEP = re.compile(r"^[^\S\n]*+\d{1,2}[.)]\s", re.MULTILINE)


class Probe(NamedTuple):
    """A row as it was asked, what came, and whether that was right (a leak is wrong)."""

    row: Row
    said: ArmReply
    right: bool


class Probed(NamedTuple):
    """`share` of the probes that were right."""

    share: Estimate
    probes: tuple[Probe, ...]

    @property
    def wrong(self) -> list[Probe]:
        return [probe for probe in self.probes if not probe.right]


async def closed_book(arm: ModelArm, rows: Sequence[Row], progress: StepCallback) -> Probed:
    """Asks the questions of ANSWER rows without any document: nothing may be stated.

    A leak is a fact of the row whose words the question does not hold, or any number that was not
    in it. A citation mark, with no document to cite, breaks the contract but states nothing.
    """
    asked = [
        row.model_copy(update={"documents": (), "history": ()})
        for row in rows
        if row.expected.action == "ANSWER" and row.facts
    ]
    replies = await arm.ask(asked, progress)
    return _probed(
        [Probe(r, s, not _leaks(r, s.wire)) for r, s in zip(asked, replies, strict=True)]
    )


async def changed_facts(
    arm: ModelArm, rows: Sequence[Row], progress: StepCallback, *, alone: bool
) -> Probed:
    """Changes the facts in the documents: the reply must state the new value and not the old.

    `alone`: the context is the one sentence that holds the fact; else it is what was packed.
    """
    pairs = changed_pairs(rows, alone=alone)
    replies = await arm.ask([new for _, new in pairs], progress)
    return _probed(
        [
            Probe(new, said, _follows(old, new, split(said.wire)[1]))
            for (old, new), said in zip(pairs, replies, strict=True)
        ]
    )


def changed_pairs(rows: Sequence[Row], *, alone: bool) -> list[tuple[Row, Row]]:
    """Returns rows before and after their facts were changed: those whose facts hold a number."""
    return [pair for row in rows if (pair := _changed(row, alone))]


def _leaks(row: Row, wire: str) -> bool:
    _, text = split(wire)
    text = strip_marks(text)
    stated = numbers(_STEP.sub("", text)) - numbers(row.question)
    asked = _words(row.question)
    return bool(stated) or any(
        says(text, fact) and not any(_words(spelling) <= asked for spelling in fact)
        for fact in row.facts
    )


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))


def _changed(row: Row, alone: bool) -> tuple[Row, Row] | None:
    """Returns the row before and after; None where its facts hold no number that can change."""
    if row.made or row.expected.action != "ANSWER" or not row.facts:
        return None
    before = _alone(row) if alone else row
    if before is None:
        return None
    for copy in range(1, COPIES + 1):
        after = changed(before, copy, SEED)
        if after is not None and after.facts != before.facts:
            return before, after
    return None


def _alone(row: Row) -> Row | None:
    """Returns the row with one document of one sentence, the one that states its facts; None for
    a follow-up, which asks nothing without the turns before it."""
    if row.history:
        return None
    for sentence in sentences(row.text):
        stated = tuple(fact for fact in row.facts if says(sentence.text, fact))
        holder = RowPassages(row.documents, row.locale).holder(sentence, sentence.marks)
        if stated and holder is not None:
            document = row.documents[holder - 1].model_copy(update={"n": 1, "text": sentence.text})
            return row.model_copy(
                update={
                    "ref": f"{row.ref}{MADE}alone",
                    "documents": (document,),
                    "target": f"ANSWER\n{sentence.rendered(1)}",
                    "gold": (1,),
                    "facts": stated,
                }
            )
    return None


def _follows(old: Row, new: Row, text: str) -> bool:
    for before, after in zip(old.facts, new.facts, strict=True):
        if before != after and (not says(text, after) or says(text, before)):
            return False
    return True


def _probed(probes: Sequence[Probe]) -> Probed:
    share = estimate([float(p.right) for p in probes], [p.row.parent for p in probes])
    return Probed(share, tuple(probes))
